"""Effect sizes, intervals and tests, in numpy and pandas."""

from emotion_circuits.statistics.auroc import AurocEstimate, auroc, estimate_auroc
from emotion_circuits.statistics.comparisons import (
    Comparison,
    ComparisonKey,
    Sample,
    Summary,
    average_draws,
    average_repeats,
    pair_by_text,
)
from emotion_circuits.statistics.effect_options import EffectOptions
from emotion_circuits.statistics.effect_table import effect_table
from emotion_circuits.statistics.k_selection import k_sweep_table, select_k
from emotion_circuits.statistics.null_tests import max_t_p, rank_p
from emotion_circuits.statistics.overlap_places import overlap_places
from emotion_circuits.statistics.power_table import power_requirements, power_table

__all__ = [
    "AurocEstimate",
    "Comparison",
    "ComparisonKey",
    "EffectOptions",
    "Sample",
    "Summary",
    "auroc",
    "average_draws",
    "average_repeats",
    "effect_table",
    "estimate_auroc",
    "k_sweep_table",
    "max_t_p",
    "overlap_places",
    "pair_by_text",
    "power_requirements",
    "power_table",
    "rank_p",
    "select_k",
]
