"""Columns of a table of effects, and options for computing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from emotion_circuits.statistics.bootstrap import CIMethod

# The columns that other people's scripts read, in order.
COLUMNS: Final = (
    *("profile", "phase", "model_name", "emotion", "layer", "head", "head_spec", "alpha"),
    *("comparison", "metric_name", "paired", "n_baseline", "n_patched", "n_effective"),
    *("mean_baseline", "mean_patched", "std_baseline", "std_patched", "mean_diff", "cohen_d"),
    *("ci_lower", "ci_upper", "effect_size_ci_lower", "effect_size_ci_upper", "t_statistic"),
    *("p_value", "p_value_bonferroni", "p_value_fdr", "significant_bonferroni"),
    "significant_fdr",
)
# Columns added after them.
MORE_COLUMNS: Final = (
    *("variant", "control", "confirmatory", "hedges_g", "p_value_sign_flip", "p_value_max_t"),
    *("family", "family_size"),
    *("n_clusters", "n_nan_dropped", "n_repeats_averaged", "n_random"),
    *("t_statistic_prompts", "p_value_prompts", "p_value_rank"),
    *("ci_method", "ci_level", "reason"),
    *("cohen_d_pooled", "test", "standard_error", "degrees_of_freedom", "few_clusters"),
    *("minimal_detectable_diff", "equivalence_ci_lower", "equivalence_ci_upper"),
)


@dataclass(frozen=True)
class EffectOptions:
    """Options for computing a table of effects.

    Attributes:
        alpha: Level of significance; intervals cover 1 - alpha.
        n_bootstrap: Number of resamples per interval.
        n_permutations: Number of random sign patterns.
        ci_method: ``percentile`` or ``bca``.
        family: Columns of the key; comparisons that agree in all of them form a family. Controls
            form separate families, so that they do not make the correction stricter.
        paired: Whether to pair values by text.
        seed: Seed of resamples and signs.
        labels: The study's emotions and neutral class, in the order of the table.
        n_jobs: Number of threads; results do not depend on it.
        clusters: The cluster of every text; None if each text is its own cluster.
        power: Power at which an effect counts as detectable.
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
    power: float = 0.8
