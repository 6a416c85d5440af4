"""Confidence intervals of the gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from emotion_circuits.statistics.bootstrap import (
    bca_ends,
    degrees_of_freedom,
    expanded_level,
    resample_weights,
)

N_BOOTSTRAP: Final = 1000
_LEVEL: Final = 0.95


def bootstrap_cell(
    statistic: Callable[..., Float[np.ndarray, " resample"]],
    *clusters: Int[np.ndarray, " _"],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return an estimate with its 95 % BCa interval over clusters, rounded to 4 digits.

    Args:
        statistic: Takes for each group of samples the weights of its samples, a line per resample,
            and returns a value per line; NaN where a resample has none. Such resamples are left
            out.
        clusters: For each group, the number of each sample's cluster, from 0 without gaps.
        rng: Source of the resamples; groups are resampled independently.

    Returns:
        See ``cell``; the ends are NaN if a group has fewer than three clusters.

    Source: BCa, Efron 1987, doi:10.1080/01621459.1987.10478410, with the accelerations of several
    groups, at the level of ``expanded_level``.
    """
    whole = [np.ones((1, len(codes))) for codes in clusters]
    estimate = statistic(*whole)
    if any(codes.max() < 2 for codes in clusters):
        return cell(float(estimate[0]), float("nan"), float("nan"))
    drawn = [
        resample_weights(len(codes), n_bootstrap=N_BOOTSTRAP, rng=rng, clusters=codes)
        for codes in clusters
    ]
    resampled = statistic(*drawn)
    df = min(degrees_of_freedom(len(codes), codes) for codes in clusters)
    lower, upper = bca_ends(
        resampled[np.isfinite(resampled)][None],
        estimate,
        [_left_out(statistic, clusters, whole, group)[None] for group in range(len(clusters))],
        expanded_level(_LEVEL, df),
    )
    return cell(float(estimate[0]), float(lower[0]), float(upper[0]))


def _left_out(
    statistic: Callable[..., np.ndarray],
    clusters: Sequence[np.ndarray],
    whole: list[np.ndarray],
    group: int,
) -> Float[np.ndarray, " cluster"]:
    """Return the statistic without each cluster of a group in turn."""
    codes = clusters[group]
    kept = (codes[None] != np.arange(codes.max() + 1)[:, None]).astype(float)
    weights = [np.repeat(ones, len(kept), axis=0) for ones in whole]
    weights[group] = kept
    values: np.ndarray = statistic(*weights)
    # Without its only cluster, a label has no value, and no influence is known.
    return np.where(np.isfinite(values), values, statistic(*whole)[0])


def cell(value: float, lower: float, upper: float) -> dict[str, float]:
    """Return an estimate and the ends of its interval, rounded to 4 digits."""
    return {
        "value": round(float(value), 4),
        "ci_lower": round(float(lower), 4),
        "ci_upper": round(float(upper), 4),
    }
