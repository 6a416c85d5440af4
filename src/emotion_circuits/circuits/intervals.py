"""Bootstrap intervals of means and of ratios of means, over pairs of prompts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.statistics.bootstrap import resample_weights


class Interval(NamedTuple):
    """An estimate with its percentile interval; NaN where there is too little data."""

    value: float
    lower: float
    upper: float


def mean_interval(
    samples: Float[np.ndarray, "... sample"], *, n_bootstrap: int, seed: int
) -> tuple[Float[np.ndarray, ...], Float[np.ndarray, ...], Float[np.ndarray, ...]]:
    """Give means over samples with 95 % percentile intervals; all entries share the resamples.

    Args:
        samples: The last axis is resampled. Intervals are NaN for fewer than two samples.
        n_bootstrap: Resamples.
        seed: Settles them.

    Returns:
        Means, lower and upper ends.
    """
    means = samples.mean(-1)
    n = samples.shape[-1]
    if n < 2:
        return means, np.full_like(means, np.nan), np.full_like(means, np.nan)
    weights = _resamples(n, n_bootstrap, seed)
    lower, upper = np.quantile(samples @ weights.T, [0.025, 0.975], axis=-1)
    return means, lower, upper


def ratio_interval(
    part: Float[np.ndarray, " sample"],
    whole: Float[np.ndarray, " sample"],
    *,
    n_bootstrap: int,
    seed: int,
) -> Interval:
    """Give the ratio of two means over the same samples with its 95 % percentile interval.

    Resampling keeps a sample's two numbers together. The interval is NaN where the whole's mean
    is zero or changes its sign from resample to resample: such a ratio has no interval.

    Args:
        part: The numerator's samples.
        whole: The denominator's.
        n_bootstrap: Resamples.
        seed: Settles them.

    Source: ratio of means, Efron and Tibshirani 1993, chapter 10.
    """
    n = len(whole)
    total = whole.mean() if n else 0.0
    if total == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(part.mean() / total)
    if n < 2:
        return Interval(value, float("nan"), float("nan"))
    weights = _resamples(n, n_bootstrap, seed)
    parts, wholes = weights @ part, weights @ whole
    if (np.sign(wholes) != np.sign(total)).mean() > 0.025:
        return Interval(value, float("nan"), float("nan"))
    stable = np.sign(wholes) == np.sign(total)
    lower, upper = np.quantile(parts[stable] / wholes[stable], [0.025, 0.975])
    return Interval(value, float(lower), float(upper))


def _resamples(n: int, n_bootstrap: int, seed: int) -> Float[np.ndarray, "resample sample"]:
    """Give how often each sample is drawn, as a share."""
    return resample_weights(n, n_bootstrap=n_bootstrap, rng=np.random.default_rng(seed)) / n
