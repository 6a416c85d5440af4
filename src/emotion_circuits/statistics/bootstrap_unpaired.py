"""Bootstrap intervals for two conditions with different texts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from emotion_circuits.statistics.bootstrap import (
    BootstrapIntervals,
    CIMethod,
    bca_ends,
    cluster_sums,
    effect_sizes,
    expanded_level,
    intervals,
    percentile_ends,
    unknown_intervals,
)
from emotion_circuits.statistics.clusters import cluster_df
from emotion_circuits.statistics.workers import map_blocks


class GroupClusters(NamedTuple):
    """Clusters of the samples of two conditions, numbered together from 0.

    Attributes:
        control: Number of the cluster of each sample of the baseline.
        treated: The same for the other condition, which may have clusters in common with it.
    """

    control: Int[np.ndarray, " control"]
    treated: Int[np.ndarray, " treated"]

    @property
    def df(self) -> float:
        """Degrees of freedom of the difference between the means."""
        treated = np.repeat([False, True], [len(self.control), len(self.treated)])
        return cluster_df(np.concatenate(self), treated)

    def strata(self) -> list[Int[np.ndarray, " cluster"]]:
        """Return the clusters of the baseline alone, of the other condition alone, and of both."""
        first, second = set(self.control.tolist()), set(self.treated.tolist())
        parts = (first - second, second - first, first & second)
        return [np.array(sorted(part), dtype=np.int64) for part in parts if part]


class _Sums(NamedTuple):
    """Number, sums and sums of squares of one condition, in each resample."""

    n: Float[np.ndarray, "*resample"]
    total: Float[np.ndarray, "row resample"]
    squares: Float[np.ndarray, "row resample"]


def resample_groups(
    clusters: GroupClusters, *, n_bootstrap: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "resample control"], Float[np.ndarray, "resample treated"]]:
    """Draw whole clusters, and with a cluster its samples under both conditions.

    Clusters are drawn within ``GroupClusters.strata``, so that no resample lacks a condition.

    Args:
        clusters: Clusters of both conditions.
        n_bootstrap: Number of resamples.
        rng: Source of randomness.

    Returns:
        How often each resample contains each sample, for both conditions.
    """
    drawn = np.zeros((n_bootstrap, 1 + max(int(codes.max()) for codes in clusters)))
    for stratum in clusters.strata():
        size = len(stratum)
        drawn[:, stratum] = rng.multinomial(size, np.full(size, 1 / size), n_bootstrap)
    return drawn[:, clusters.control], drawn[:, clusters.treated]


def bootstrap_unpaired(
    baseline: Float[np.ndarray, "row control"],
    patched: Float[np.ndarray, "row treated"],
    weights: tuple[Float[np.ndarray, "resample control"], Float[np.ndarray, "resample treated"]],
    *,
    level: float,
    method: CIMethod,
    clusters: GroupClusters | None = None,
    n_jobs: int = 1,
) -> BootstrapIntervals:
    """Return intervals of the difference of means and of d with the pooled deviation.

    Args:
        baseline: Values under the baseline, of comparisons with non-zero variance.
        patched: Values under the other condition.
        weights: The results of ``resample_weights`` for both conditions, or with clusters the
            result of ``resample_groups``.
        level: Nominal coverage, such as 0.95.
        method: ``percentile`` or ``bca``.
        clusters: Clusters of both conditions; if given, the jackknife of ``bca`` leaves out whole
            clusters.
        n_jobs: Number of threads; results do not depend on it.
    """
    n_0, n_1 = baseline.shape[1], patched.shape[1]
    wide = expanded_level(level, n_0 + n_1 - 2.0 if clusters is None else clusters.df)
    if np.isnan(wide):
        return unknown_intervals(len(baseline))
    units = clusters or GroupClusters(np.arange(n_0), n_0 + np.arange(n_1))
    center = baseline.mean(axis=1)
    squares = (n_0 - 1) * baseline.var(axis=1, ddof=1) + (n_1 - 1) * patched.var(axis=1, ddof=1)
    std = np.sqrt(squares / (n_0 + n_1 - 2))
    d = (patched.mean(axis=1) - center) / std
    z = [(values - center[:, None]) / std[:, None] for values in (baseline, patched)]
    counts = [np.ascontiguousarray(drawn.T) for drawn in weights]

    def work(block: slice) -> np.ndarray:
        sides = [
            _Sums(drawn.sum(axis=0), values[block] @ drawn, values[block] ** 2 @ drawn)
            for values, drawn in zip(z, counts, strict=True)
        ]
        values = _contrasts(*sides)
        if method == "percentile":
            return np.concatenate([percentile_ends(value, wide) for value in values])
        knives = _jackknives(z[0][block], z[1][block], units)
        parts = zip(values, knives, strict=True)
        return np.concatenate([bca_ends(value, d[block], knife, wide) for value, knife in parts])

    return intervals(map_blocks(work, len(d), n_jobs=n_jobs), np.zeros(len(d)), std)


def _jackknives(
    control: np.ndarray, treated: np.ndarray, units: GroupClusters
) -> list[list[np.ndarray]]:
    """Return jackknives of the mean difference and of d, each with one array per stratum."""
    n_units = 1 + max(int(codes.max()) for codes in units)
    sides = [_left_out(z, of, n_units) for z, of in ((control, units.control), (treated, units[1]))]
    found = _contrasts(*sides)
    # The only cluster of its stratum is in every resample, and has no influence.
    strata = [stratum for stratum in units.strata() if len(stratum) > 1]
    return [[values[:, stratum] for stratum in strata] for values in found]


def _left_out(z: np.ndarray, clusters: np.ndarray, n_units: int) -> _Sums:
    """Return sums without each unit in turn; one without samples here changes nothing."""
    known, codes = np.unique(clusters, return_inverse=True)
    total, squares = (
        np.repeat(values.sum(axis=1, keepdims=True), n_units, axis=1) for values in (z, z * z)
    )
    n = np.full(n_units, float(z.shape[1]))
    of_total, of_squares, size = cluster_sums(z, codes)
    total[:, known] -= of_total
    squares[:, known] -= of_squares
    n[known] -= size
    return _Sums(n, total, squares)


def _contrasts(control: _Sums, treated: _Sums) -> tuple[np.ndarray, np.ndarray]:
    """Return the difference of means and d."""
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [side.total / side.n for side in (control, treated)]
        rest = [
            side.squares - side.total * mean
            for side, mean in zip((control, treated), means, strict=True)
        ]
        variance = (rest[0] + rest[1]) / (control.n + treated.n - 2)
    difference = means[1] - means[0]
    return difference, effect_sizes(difference, variance)
