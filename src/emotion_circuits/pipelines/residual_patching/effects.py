"""Paired effects of a condition on many metrics at once, with bootstrap intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_TAILS = (0.025, 0.975)


class Effects(NamedTuple):
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
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), n_bootstrap).astype(float)


def paired_effects(
    baseline: Float[np.ndarray, "prompt metric"],
    patched: Float[np.ndarray, "prompt metric"],
    counts: Float[np.ndarray, "resample prompt"],
) -> Effects:
    """Estimate the effect on each metric.

    Prompts are the unit: a resample draws whole prompts. Intervals are percentile intervals
    without interpolation, since d is infinite where all prompts of a resample change alike.
    Below about ten prompts they are too short.

    Args:
        baseline: Scores without the patch.
        patched: Scores of the same prompts with it.
        counts: Of the resamples.

    Returns:
        The estimates. Where no prompt changes, d is 0; where all change by the same, it is
        infinite; of a single prompt it is NaN.

    Source: Cohen's d for paired samples (d_z), Lakens 2013, doi:10.3389/fpsyg.2013.00863.
    """
    difference = patched - baseline
    mean = difference.mean(axis=0)
    n = len(difference)
    # About the mean, so that the variance of a resample does not lose its digits.
    centred = difference - mean
    shifts = counts @ centred / n
    squares = counts @ centred**2 / n
    means = mean + shifts
    variances = np.clip(squares - shifts**2, 0, None) * (n / (n - 1) if n > 1 else np.nan)
    constant = np.isclose(variances, 0, rtol=0, atol=1e-18)
    deviations = np.sqrt(np.where(constant, 0, variances))
    deviation = difference.std(axis=0, ddof=1) if n > 1 else np.full_like(mean, np.nan)
    lower, upper = _interval(means)
    d_lower, d_upper = _interval(_ratio(means, deviations))
    return Effects(
        mean_baseline=baseline.mean(axis=0),
        mean_patched=patched.mean(axis=0),
        mean_diff=mean,
        ci_lower=lower,
        ci_upper=upper,
        cohen_d=_ratio(mean, deviation),
        d_lower=d_lower,
        d_upper=d_upper,
    )


def _ratio(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Divide; 0/0 is 0, and x/0 is infinite with the sign of x."""
    found = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    found = np.where(np.isnan(deviation), np.nan, found)
    np.divide(mean, deviation, out=found, where=deviation > 0)
    return found


def _interval(resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = np.quantile(resampled, _TAILS, axis=0, method="inverted_cdf")
    return lower, upper
