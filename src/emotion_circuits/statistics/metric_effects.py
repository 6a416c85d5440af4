"""Paired effects of one condition on many metrics, with bootstrap intervals."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.bootstrap import bootstrap_paired, resample_weights
from emotion_circuits.statistics.effect_sizes import ALL_ZERO, paired_effects

_LEVEL: Final = 0.95


class MetricEffects(NamedTuple):
    """Effects of a patch on each metric, over the same prompts with and without the patch.

    Attributes:
        mean_baseline: Mean without the patch.
        mean_patched: Mean with the patch.
        mean_diff: Mean of patched minus baseline.
        ci_lower: Lower end of the mean difference's 95 % interval.
        ci_upper: Upper end of the mean difference's 95 % interval.
        cohen_d: Mean difference over the standard deviation of the differences.
        d_lower: Lower end of d's 95 % interval.
        d_upper: Upper end of d's 95 % interval.
        cohen_d_pooled: Mean difference over the root mean square of the deviations with and
            without the patch.
    """

    mean_baseline: Float[np.ndarray, " metric"]
    mean_patched: Float[np.ndarray, " metric"]
    mean_diff: Float[np.ndarray, " metric"]
    ci_lower: Float[np.ndarray, " metric"]
    ci_upper: Float[np.ndarray, " metric"]
    cohen_d: Float[np.ndarray, " metric"]
    d_lower: Float[np.ndarray, " metric"]
    d_upper: Float[np.ndarray, " metric"]
    cohen_d_pooled: Float[np.ndarray, " metric"]


def resampled_counts(
    n: int, n_bootstrap: int, seed: int, clusters: Int[np.ndarray, " prompt"] | None = None
) -> Float[np.ndarray, "resample prompt"]:
    """Draw how often each resample contains each prompt, equal for all conditions.

    Args:
        n: Number of prompts.
        n_bootstrap: Number of resamples.
        seed: Seed of the draw.
        clusters: Number of each prompt's cluster; if given, whole clusters are drawn.
    """
    rng = rng_for(seed, "prompts")
    return resample_weights(n, n_bootstrap=n_bootstrap, rng=rng, clusters=clusters)


def metric_effects(
    baseline: Float[np.ndarray, "prompt metric"],
    patched: Float[np.ndarray, "prompt metric"],
    counts: Float[np.ndarray, "resample prompt"],
    clusters: Int[np.ndarray, " prompt"] | None = None,
) -> MetricEffects:
    """Estimate the effect on each metric.

    A resample draws prompts with all their metrics. Intervals are those of ``bootstrap_paired``,
    corrected for bias and skew (BCa).

    Args:
        baseline: Scores without the patch.
        patched: Scores of the same prompts with the patch.
        counts: How often each resample contains each prompt.
        clusters: Number of each prompt's cluster, as for ``counts``.

    Returns:
        The estimates. If no prompt changes, mean difference, d and their intervals are 0. If all
        prompts change by the same amount, or there is a single prompt, d is NaN.
    """
    effects = paired_effects(baseline.T, patched.T)
    unchanged, varies = effects.reason == ALL_ZERO, effects.reason == ""
    ends = np.full((4, baseline.shape[1]), np.nan)
    ends[:2] = effects.mean_diff
    ends[:, unchanged] = 0.0
    if varies.any():
        differences = np.ascontiguousarray((patched - baseline).T[varies])
        ends[:, varies] = bootstrap_paired(
            differences, counts, level=_LEVEL, method="bca", clusters=clusters
        )
    return MetricEffects(
        baseline.mean(axis=0),
        patched.mean(axis=0),
        effects.mean_diff,
        ends[0],
        ends[1],
        np.where(unchanged, 0.0, effects.cohen_d),
        ends[2],
        ends[3],
        np.where(unchanged, 0.0, effects.cohen_d_pooled),
    )
