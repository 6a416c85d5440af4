"""Figures of the study: Plotly figures drawn from tables."""

from emotion_circuits.reporting.overlaps import draw_overlaps
from emotion_circuits.reporting.probes import draw_probes
from emotion_circuits.reporting.readings import draw_readings
from emotion_circuits.reporting.steering import draw_dose_response, draw_specificity

__all__ = [
    "draw_dose_response",
    "draw_overlaps",
    "draw_probes",
    "draw_readings",
    "draw_specificity",
]
