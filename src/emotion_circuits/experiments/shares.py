"""Means and shares of an effect, with intervals over templates and over random sets of heads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.statistics.ratios import mean_interval, ratio_interval

Values = Float[np.ndarray, " pair"]
Draws = Float[np.ndarray, "set pair"]


class Resampling(NamedTuple):
    """How pairs are resampled.

    Attributes:
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.
        clusters: The cluster of each pair, such as its template, which is resampled as a whole.
    """

    n_bootstrap: int
    seed: int
    clusters: list[str]


def mean_with_interval(values: Values, name: str, resampling: Resampling) -> dict[str, float]:
    """Return the mean of the known values with its 95 % interval, as ``name`` and its ends."""
    known = ~np.isnan(values)  # an empty continuation has no fluency
    if not known.any():
        return dict.fromkeys((name, f"{name}_lower", f"{name}_upper"), float("nan"))
    pairs = zip(resampling.clusters, known, strict=True)
    clusters = [pair for pair, is_known in pairs if is_known]
    options = resampling._replace(clusters=clusters)._asdict()
    mean, lower, upper = mean_interval(values[known], **options)
    return {name: float(mean), f"{name}_lower": float(lower), f"{name}_upper": float(upper)}


def share_with_interval(
    values: Values,
    random: Draws,
    effect: Values,
    names: tuple[str, str, str],
    resampling: Resampling,
) -> dict[str, float]:
    """Return which share of an effect a set moves, and random sets do, with 95 % intervals.

    Args:
        values: How far the set moves each pair.
        random: The same for each random set.
        effect: The effect of each pair.
        names: Names of the share, of the mean share of random sets, and of their difference.
        resampling: How pairs are resampled; random sets are resampled too.

    Returns:
        By name the share, with ``_lower`` and ``_upper``; NaN without random sets.
    """
    options = resampling._asdict()
    intervals = (
        ratio_interval(values, effect, **options),
        ratio_interval(random, effect, **options),
        ratio_interval(random, effect, less=values, **options),
    )
    return {
        f"{name}{end}": value
        for name, interval in zip(names, intervals, strict=True)
        for end, value in zip(("", "_lower", "_upper"), interval, strict=True)
    }


def shares_of_means(draws: Draws, effect: Values) -> Float[np.ndarray, " set"]:
    """Return the share of the mean effect that each set moves; NaN if the effect is zero."""
    total = float(effect.mean())
    means: np.ndarray = draws.mean(axis=1)
    return means / total if total else np.full(len(draws), np.nan)


def smallest_p(n_random: int) -> float:
    """Return the smallest rank p-value that this number of random sets can give; NaN for none."""
    return 1 / (1 + n_random) if n_random else float("nan")
