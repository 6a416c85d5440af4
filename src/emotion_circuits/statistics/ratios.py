"""Bootstrap intervals of means and of ratios of means, over whole clusters of samples.

Pairs of prompts that share a neutral prompt are not independent, and are resampled together. A
control that is itself a sample, such as random sets of heads, is resampled too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.bootstrap import resample_weights


class Interval(NamedTuple):
    """An estimate with its percentile interval; NaN if there is too little data."""

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
    """Return means over samples with 95 % percentile intervals.

    Args:
        samples: Samples along the last axis; all other axes share the resamples.
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.
        clusters: Name of each sample's cluster; None if each sample is its own cluster.

    Returns:
        Means, lower and upper ends. The ends are NaN for fewer than two clusters.

    Source: cluster bootstrap, Davison and Hinkley 1997, chapter 3.8.
    """
    means = samples.mean(-1)
    weights = _resamples(samples.shape[-1], n_bootstrap, seed, clusters)
    if weights is None:
        return means, np.full_like(means, np.nan), np.full_like(means, np.nan)
    lower, upper = np.quantile(samples @ weights.T, [0.025, 0.975], axis=-1)
    return means, lower, upper


def ratio_interval(
    part: Float[np.ndarray, " sample"] | Float[np.ndarray, "draw sample"],
    whole: Float[np.ndarray, " sample"],
    *,
    n_bootstrap: int,
    seed: int,
    clusters: Sequence[Any] | None = None,
    less: Float[np.ndarray, " sample"] | None = None,
) -> Interval:
    """Return the ratio of two means over the same samples with its 95 % percentile interval.

    Numerator and denominator share the resamples. The interval is NaN if the denominator's mean is
    zero, or has another sign in more than 2.5 % of resamples.

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
    ours = draws.mean() if less is None else less.mean() - draws.mean()
    value = float(ours / total)
    weights = _resamples(n, n_bootstrap, seed, clusters)
    # The spread of random sets is unknown from a single set.
    if weights is None or (np.ndim(part) == 2 and len(draws) < 2):
        return Interval(value, float("nan"), float("nan"))
    chosen = _draw_weights(len(draws), n_bootstrap, seed)
    parts = ((weights @ draws.T) * chosen).sum(1)
    if less is not None:
        parts = weights @ less - parts
    wholes = weights @ whole
    stable = np.sign(wholes) == np.sign(total)
    if (~stable).mean() > 0.025:
        return Interval(value, float("nan"), float("nan"))
    lower, upper = np.quantile(parts[stable] / wholes[stable], [0.025, 0.975])
    return Interval(value, float(lower), float(upper))


def _resamples(
    n: int, n_bootstrap: int, seed: int, clusters: Sequence[Any] | None
) -> Float[np.ndarray, "resample sample"] | None:
    """Return the share of each sample in each resample; None for fewer than two clusters."""
    codes = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    if n < 2 or (codes is not None and codes.max() < 1):
        return None
    # One stream for any n: clusters of several samples are drawn as single samples are.
    rng = rng_for(seed, "samples")
    weights = resample_weights(n, n_bootstrap=n_bootstrap, rng=rng, clusters=codes)
    # Clusters may differ in size, and so may resamples.
    shares: np.ndarray = weights / weights.sum(1, keepdims=True)
    return shares


def _draw_weights(n: int, n_bootstrap: int, seed: int) -> Float[np.ndarray, "resample draw"]:
    # A stream of its own, since draws and samples are resampled independently.
    rng = rng_for(seed, "draws_of_control")
    weights: np.ndarray = resample_weights(n, n_bootstrap=n_bootstrap, rng=rng) / n
    return weights
