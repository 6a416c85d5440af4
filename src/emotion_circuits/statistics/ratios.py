"""Bootstrap intervals of means and of ratios of means, over whole clusters of samples.

Pairs of prompts that share a neutral prompt are not independent, and are resampled together. A
control that is itself a sample, such as random sets of heads, is resampled too. Intervals are
corrected for bias and skew (BCa), at a level expanded for few clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.bootstrap import (
    bca_ends,
    degrees_of_freedom,
    expanded_level,
    resample_weights,
)

_LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate with its interval; NaN if there is too little data."""

    value: float
    lower: float
    upper: float


def mean_interval(
    samples: Float[np.ndarray, "... sample"],
    *,
    n_bootstrap: int,
    seed: int,
    clusters: Sequence[Any] | None = None,
) -> tuple[Float[np.ndarray, ...], Float[np.ndarray, ...], Float[np.ndarray, ...]]:
    """Return means over samples with 95 % BCa intervals.

    Args:
        samples: Samples along the last axis; all other axes share the resamples.
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.
        clusters: Name of each sample's cluster; None if each sample is its own cluster.

    Returns:
        Means, lower and upper ends. The ends are NaN for fewer than three clusters.

    Source: cluster bootstrap, Davison and Hinkley 1997, chapter 3.8; BCa, Efron 1987,
    doi:10.1080/01621459.1987.10478410.
    """
    means = samples.mean(-1)
    codes = _codes(samples.shape[-1], clusters)
    if codes is None:
        return means, np.full_like(means, np.nan), np.full_like(means, np.nan)
    weights = _resamples(codes, n_bootstrap, seed)
    rows = samples.reshape(-1, samples.shape[-1])
    level = expanded_level(_LEVEL, degrees_of_freedom(len(codes), codes))
    left_out = rows @ _left_out(codes).T
    lower, upper = bca_ends(rows @ weights.T, means.reshape(-1), [left_out], level)
    return means, lower.reshape(means.shape), upper.reshape(means.shape)


def ratio_interval(
    part: Float[np.ndarray, " sample"] | Float[np.ndarray, "draw sample"],
    whole: Float[np.ndarray, " sample"],
    *,
    n_bootstrap: int,
    seed: int,
    clusters: Sequence[Any] | None = None,
    less: Float[np.ndarray, " sample"] | None = None,
) -> Interval:
    """Return the ratio of two means over the same samples with its 95 % BCa interval.

    Numerator and denominator share the resamples. The interval is NaN for fewer than three
    clusters, and if the denominator's mean is zero or has another sign in more than 2.5 % of
    resamples.

    Args:
        part: Samples of the numerator. With two axes, ``part[i]`` is draw i of a control, and the
            numerator is the mean over draws, which are resampled as well as samples.
        whole: Samples of the denominator.
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.
        clusters: Name of each sample's cluster; None if each sample is its own cluster.
        less: Minuend of the numerator: if given, the ratio is that of ``less - part``.

    Source: ratio of means, Efron and Tibshirani 1993, chapter 10; two-stage bootstrap, Davison
    and Hinkley 1997, chapter 3.8.
    """
    draws = np.atleast_2d(part)
    n = len(whole)
    total = whole.mean() if n else 0.0
    if total == 0 or not len(draws):
        return Interval(float("nan"), float("nan"), float("nan"))
    minuend = np.zeros(n) if less is None else less
    sign = 1.0 if less is None else -1.0
    value = float((minuend.mean() + sign * draws.mean()) / total)
    codes = _codes(n, clusters)
    # The spread of random sets is unknown from one or two.
    if codes is None or (np.ndim(part) == 2 and len(draws) < 3):
        return Interval(value, float("nan"), float("nan"))

    def ratios(shares: np.ndarray, of_draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = shares @ minuend + sign * ((shares @ draws.T) * of_draws).sum(1)
        wholes = shares @ whole
        with np.errstate(divide="ignore", invalid="ignore"):
            return parts / wholes, np.sign(wholes) == np.sign(total)

    resampled, stable = ratios(
        _resamples(codes, n_bootstrap, seed), _draw_weights(len(draws), n_bootstrap, seed)
    )
    if (~stable).mean() > 0.025:
        return Interval(value, float("nan"), float("nan"))
    left_out = [ratios(_left_out(codes), np.full((1, len(draws)), 1 / len(draws)))[0]]
    df = degrees_of_freedom(n, codes)
    if len(draws) > 1:
        left_out.append(ratios(np.full((1, n), 1 / n), _left_out(np.arange(len(draws))))[0])
        df = min(df, len(draws) - 1)
    lower, upper = bca_ends(
        resampled[stable][None],
        np.array([value]),
        [of_unit[None] for of_unit in left_out],
        expanded_level(_LEVEL, df),
    )
    return Interval(value, float(lower[0]), float(upper[0]))


def _codes(n: int, clusters: Sequence[Any] | None) -> Int[np.ndarray, " sample"] | None:
    """Return the number of each sample's cluster; None for fewer than three clusters.

    The t quantile of two clusters lies beyond all resamples.
    """
    codes = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    return codes if n and codes.max() > 1 else None


def _left_out(codes: Int[np.ndarray, " sample"]) -> Float[np.ndarray, "cluster sample"]:
    """Return the share of each sample in the mean that leaves out one cluster."""
    kept = (codes[None, :] != np.arange(codes.max() + 1)[:, None]).astype(float)
    shares: np.ndarray = kept / kept.sum(1, keepdims=True)
    return shares


def _resamples(
    codes: Int[np.ndarray, " sample"], n_bootstrap: int, seed: int
) -> Float[np.ndarray, "resample sample"]:
    """Return the share of each sample in each resample of whole clusters."""
    # One stream for any n: clusters of several samples are drawn as single samples are.
    rng = rng_for(seed, "samples")
    weights = resample_weights(len(codes), n_bootstrap=n_bootstrap, rng=rng, clusters=codes)
    # Clusters may differ in size, and so may resamples.
    shares: np.ndarray = weights / weights.sum(1, keepdims=True)
    return shares


def _draw_weights(n: int, n_bootstrap: int, seed: int) -> Float[np.ndarray, "resample draw"]:
    # A stream of its own, since draws and samples are resampled independently.
    rng = rng_for(seed, "draws_of_control")
    weights: np.ndarray = resample_weights(n, n_bootstrap=n_bootstrap, rng=rng) / n
    return weights
