"""The paired effect of one condition on many metrics, with bootstrap intervals."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.bootstrap import bootstrap_paired, resample_weights
from emotion_circuits.statistics.effect_sizes import ALL_ZERO, paired_effects

_LEVEL: Final = 0.95


class MetricEffects(NamedTuple):
    """Effects on each metric over the same prompts with and without the patch.

    Attributes:
        mean_baseline: Without.
        mean_patched: With.
        mean_diff: Patched minus baseline.
        ci_lower: Of the mean difference, 95 %.
        ci_upper: Of the mean difference.
        cohen_d: Mean difference over the standard deviation of the differences.
        d_lower: Of d, 95 %.
        d_upper: Of d.
    """

    mean_baseline: Float[np.ndarray, " metric"]
    mean_patched: Float[np.ndarray, " metric"]
    mean_diff: Float[np.ndarray, " metric"]
    ci_lower: Float[np.ndarray, " metric"]
    ci_upper: Float[np.ndarray, " metric"]
    cohen_d: Float[np.ndarray, " metric"]
    d_lower: Float[np.ndarray, " metric"]
    d_upper: Float[np.ndarray, " metric"]


def resampled_counts(n: int, n_bootstrap: int, seed: int) -> Float[np.ndarray, "resample prompt"]:
    """Say how often each prompt is drawn in each resample; the same for every condition."""
    return resample_weights(n, n_bootstrap=n_bootstrap, rng=rng_for(seed, "prompts"))


def metric_effects(
    baseline: Float[np.ndarray, "prompt metric"],
    patched: Float[np.ndarray, "prompt metric"],
    counts: Float[np.ndarray, "resample prompt"],
) -> MetricEffects:
    """Estimate the effect on each metric.

    Prompts are the unit: a resample draws whole prompts. Intervals are percentile intervals.

    Args:
        baseline: Scores without the patch.
        patched: Scores of the same prompts with it.
        counts: Of the resamples.

    Returns:
        The estimates. Where no prompt changes, mean and d are 0 and so are their intervals; where
        all change by the same, or there is one prompt only, d is NaN.
    """
    found = paired_effects(baseline.T, patched.T)
    still, varies = found.reason == ALL_ZERO, found.reason == ""
    ends = np.full((4, baseline.shape[1]), np.nan)
    ends[:2] = found.mean_diff
    ends[:, still] = 0.0
    if varies.any():
        differences = np.ascontiguousarray((patched - baseline).T[varies])
        ends[:, varies] = bootstrap_paired(differences, counts, level=_LEVEL, method="percentile")
    return MetricEffects(
        baseline.mean(axis=0),
        patched.mean(axis=0),
        found.mean_diff,
        ends[0],
        ends[1],
        np.where(still, 0.0, found.cohen_d),
        ends[2],
        ends[3],
    )
