"""Figures of the study, drawn from tables, and its report."""

from emotion_circuits.reporting.claims import draw_claims, draw_power
from emotion_circuits.reporting.heads import draw_head_map, draw_head_sets
from emotion_circuits.reporting.overlaps import draw_overlaps
from emotion_circuits.reporting.probes import draw_probes
from emotion_circuits.reporting.readings import draw_readings
from emotion_circuits.reporting.steering import draw_dose_response, draw_specificity
from emotion_circuits.reporting.transfer import draw_transfer

__all__ = [
    "draw_claims",
    "draw_dose_response",
    "draw_head_map",
    "draw_head_sets",
    "draw_overlaps",
    "draw_power",
    "draw_probes",
    "draw_readings",
    "draw_specificity",
    "draw_transfer",
]
