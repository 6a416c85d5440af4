"""What a table of effects holds, and how it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from emotion_circuits.statistics.bootstrap import CIMethod

# The columns other people's scripts read, in their order.
COLUMNS: Final = (
    *("profile", "phase", "model_name", "emotion", "layer", "head", "head_spec", "alpha"),
    *("comparison", "metric_name", "paired", "n_baseline", "n_patched", "n_effective"),
    *("mean_baseline", "mean_patched", "std_baseline", "std_patched", "mean_diff", "cohen_d"),
    *("ci_lower", "ci_upper", "effect_size_ci_lower", "effect_size_ci_upper", "t_statistic"),
    *("p_value", "p_value_bonferroni", "p_value_fdr", "significant_bonferroni"),
    "significant_fdr",
)
# What is added behind them.
MORE_COLUMNS: Final = (
    *("variant", "control", "hedges_g", "p_value_sign_flip", "p_value_max_t"),
    *("family", "family_size"),
    *("n_clusters", "n_nan_dropped", "n_repeats_averaged", "n_random"),
    *("t_statistic_prompts", "p_value_prompts", "p_value_rank"),
    *("ci_method", "ci_level", "reason"),
)


@dataclass(frozen=True)
class EffectOptions:
    """How a table of effects is made.

    Attributes:
        alpha: Level of significance; intervals cover 1 - alpha.
        n_bootstrap: Resamples per interval.
        n_permutations: Random sign patterns.
        ci_method: ``percentile`` or ``bca``.
        family: Columns of the key; comparisons that agree in all of them are one family;
            controls are one of their own, so that more of them make no finding harder.
        paired: Whether texts are matched.
        seed: Of resamples and signs.
        labels: The study's emotions and neutral class, in the order of the table.
        n_jobs: Threads; no result depends on it.
        clusters: From text to its cluster, for every text; None where each stands for itself.
    """

    alpha: float
    n_bootstrap: int
    n_permutations: int
    ci_method: CIMethod
    family: tuple[str, ...]
    paired: bool
    seed: int
    labels: tuple[str, ...] = ()
    n_jobs: int = 1
    clusters: Mapping[str, str] | None = None
