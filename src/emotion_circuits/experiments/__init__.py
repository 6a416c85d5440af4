"""Experiments: plans of texts to generate, their outcomes, controls, choices and effects."""

from emotion_circuits.experiments.choice import Choice, choose_conditions
from emotion_circuits.experiments.decoding import Decoding
from emotion_circuits.experiments.effects import effect_table, own_effects
from emotion_circuits.experiments.outcomes import FLUENCY, Outcomes, join, metric_name
from emotion_circuits.experiments.plan import Plan, cross
from emotion_circuits.experiments.running import run
from emotion_circuits.experiments.steering import Steering

__all__ = [
    "FLUENCY",
    "Choice",
    "Decoding",
    "Outcomes",
    "Plan",
    "Steering",
    "choose_conditions",
    "cross",
    "effect_table",
    "join",
    "metric_name",
    "own_effects",
    "run",
]
