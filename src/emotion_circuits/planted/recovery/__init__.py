"""Comparisons of what the phases recover of a planted model with what is true of it."""

from emotion_circuits.planted.recovery.alignment import check_alignment
from emotion_circuits.planted.recovery.checks import Check, check_table
from emotion_circuits.planted.recovery.circuits import (
    check_circuits,
    check_edge_faithfulness,
    check_faithfulness,
    check_roles,
    significant_circuits,
)
from emotion_circuits.planted.recovery.directions import check_directions
from emotion_circuits.planted.recovery.patching import check_patching, check_redundant
from emotion_circuits.planted.recovery.screening import check_screening
from emotion_circuits.planted.recovery.significance import (
    check_nothing_found,
    check_significant,
    significant_heads,
)
from emotion_circuits.planted.recovery.steering import check_steering

__all__ = [
    "Check",
    "check_alignment",
    "check_circuits",
    "check_directions",
    "check_edge_faithfulness",
    "check_faithfulness",
    "check_nothing_found",
    "check_patching",
    "check_redundant",
    "check_roles",
    "check_screening",
    "check_significant",
    "check_steering",
    "check_table",
    "significant_circuits",
    "significant_heads",
]
