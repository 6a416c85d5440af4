"""Bootstrap intervals of mean differences and effect sizes, for many comparisons at once.

A resample is represented by how often it contains each sample. All comparisons with the same
number of samples share the matrix of these counts: one matrix product gives their resampled sums,
another the sums of squares, and mean and d of every resample follow. The axis ``row`` runs over
comparisons.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from emotion_circuits.statistics.clusters import cluster_df
from emotion_circuits.statistics.workers import map_blocks

CIMethod = Literal["percentile", "bca"]

# A resample whose variance is below this share of the sample's variance holds a single value.
_FLAT: Final = 1e-10
# Resampled values closer to the estimate than this tie with it.
_TIE: Final = 1e-10


class BootstrapIntervals(NamedTuple):
    """Intervals of many comparisons; an infinite or undefined end is NaN.

    Attributes:
        mean_lower: Lower end for the mean difference.
        mean_upper: Upper end for the mean difference.
        d_lower: Lower end for Cohen's d.
        d_upper: Upper end for Cohen's d.
    """

    mean_lower: Float[np.ndarray, " row"]
    mean_upper: Float[np.ndarray, " row"]
    d_lower: Float[np.ndarray, " row"]
    d_upper: Float[np.ndarray, " row"]


def resample_weights(
    n: int,
    *,
    n_bootstrap: int,
    rng: np.random.Generator,
    clusters: Int[np.ndarray, " sample"] | None = None,
) -> Float[np.ndarray, "resample sample"]:
    """Draw how often each resample contains each sample.

    Args:
        n: Number of samples.
        n_bootstrap: Number of resamples.
        rng: Source of randomness.
        clusters: Number of each sample's cluster; if given, whole clusters are drawn.
    """
    units = n if clusters is None else int(clusters.max()) + 1
    drawn = rng.multinomial(units, np.full(units, 1 / units), n_bootstrap).astype(np.float64)
    return drawn if clusters is None else drawn[:, clusters]


def bootstrap_paired(
    differences: Float[np.ndarray, "row pair"],
    weights: Float[np.ndarray, "resample pair"],
    *,
    level: float,
    method: CIMethod,
    clusters: Int[np.ndarray, " pair"] | None = None,
    n_jobs: int = 1,
) -> BootstrapIntervals:
    """Return intervals of the mean difference and of d = mean / deviation of the differences.

    Args:
        differences: Patched minus baseline, of comparisons with non-zero variance.
        weights: The result of ``resample_weights`` for the same clusters.
        level: Nominal coverage, such as 0.95.
        method: ``percentile``, or ``bca`` (corrected for bias and skew).
        clusters: Number of each pair's cluster; if given, the jackknife of ``bca`` leaves out
            whole clusters.
        n_jobs: Number of threads; results do not depend on it.

    Source: Efron 1987, doi:10.1080/01621459.1987.10478410; tails as in ``expanded_level``.
    """
    mean = differences.mean(axis=1)
    std = differences.std(axis=1, ddof=1)
    z = (differences - mean[:, None]) / std[:, None]
    d, drawn, counts = mean / std, weights.sum(axis=1), np.ascontiguousarray(weights.T)
    wide = expanded_level(level, degrees_of_freedom(differences.shape[1], clusters))
    if np.isnan(wide):
        return unknown_intervals(len(d))

    def work(block: slice) -> np.ndarray:
        m, v = moments(z[block], counts, drawn)
        values = (m, effect_sizes(d[block, None] + m, v))
        if method == "percentile":
            return np.concatenate([percentile_ends(value, wide) for value in values])
        m, v = left_out_moments(z[block], clusters)
        knives = (m, effect_sizes(d[block, None] + m, v))
        trios = zip(values, (np.zeros(len(m)), d[block]), knives, strict=True)
        return np.concatenate([bca_ends(a, b, [knife], wide) for a, b, knife in trios])

    return intervals(map_blocks(work, len(z), n_jobs=n_jobs), mean, std)


def unknown_intervals(n_rows: int) -> BootstrapIntervals:
    """Return intervals without ends, for samples that are all of one cluster."""
    return BootstrapIntervals(*np.full((4, n_rows), np.nan))


def moments(
    z: Float[np.ndarray, "row sample"],
    turned: Float[np.ndarray, "sample resample"],
    drawn: Float[np.ndarray, " resample"],
) -> tuple[Float[np.ndarray, "row resample"], Float[np.ndarray, "row resample"]]:
    """Return mean and sample variance of every resample of standardised values.

    Args:
        z: Values near 0 and of order 1, so that sums of squares keep their digits.
        turned: How often each resample contains each sample.
        drawn: Number of samples of each resample.
    """
    mean = (z @ turned) / drawn
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = ((z * z) @ turned - drawn * mean * mean) / (drawn - 1)
    return mean, variance


def effect_sizes(
    mean: Float[np.ndarray, "row resample"], variance: Float[np.ndarray, "row resample"]
) -> Float[np.ndarray, "row resample"]:
    """Divide means by standard deviations, with a rule for resamples of zero variance.

    If such a resample holds only zeros, d is 0. If it holds another single value, d is infinite:
    it ranks beyond all finite values and stays in the count, and may make an interval's end
    infinite.
    """
    flat = variance < _FLAT
    with np.errstate(divide="ignore", invalid="ignore"):
        d = mean / np.sqrt(variance)
    flat_d = np.where(np.abs(mean) < np.sqrt(_FLAT), 0.0, np.copysign(np.inf, mean))
    effects: np.ndarray = np.where(flat, flat_d, d)
    return effects


def expanded_level(level: float, df: float | int) -> float:
    """Return the nominal level at which a percentile interval covers ``level``.

    Resampled means scatter too little by the factor √((n-1)/n) and lack the wider tails of t: at
    20 samples a plain 95 % interval covers 92 %. The corrected tail probability puts the end where
    the t interval's end would be for normal resamples. Effect sizes need it as means do, the more
    the larger they are and the fewer clusters there are.

    Args:
        level: Nominal coverage.
        df: Degrees of freedom of the estimate's error; n - 1 for one sample. The level is NaN at 0.

    Source: Hesterberg 2015, doi:10.1080/00031305.2015.1089789.
    """
    if df <= 0:
        return float("nan")
    end = special.stdtrit(df, (1 - level) / 2) * np.sqrt((df + 1) / df)
    return float(1 - 2 * special.ndtr(end))


def degrees_of_freedom(n: int, clusters: Int[np.ndarray, " sample"] | None) -> float:
    """Return the degrees of freedom of a mean's error over samples or over clusters."""
    return n - 1.0 if clusters is None else cluster_df(clusters)


def left_out_moments(
    z: Float[np.ndarray, "row sample"], clusters: Int[np.ndarray, " sample"] | None = None
) -> tuple[Float[np.ndarray, "row unit"], Float[np.ndarray, "row unit"]]:
    """Return mean and sample variance without each sample, or each cluster, in turn.

    Both follow from the sums of all values and of those left out, without a second pass over the
    values.

    Args:
        z: Values near 0 and of order 1, so that sums of squares keep their digits.
        clusters: Number of each sample's cluster; None if each sample is its own.
    """
    sums, squares, size = cluster_sums(z, clusters)
    left = z.shape[1] - size
    mean = (z.sum(axis=1, keepdims=True) - sums) / left
    rest = (z * z).sum(axis=1, keepdims=True) - squares
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (rest - left * mean * mean) / (left - 1)
    return mean, variance


def cluster_sums(
    z: Float[np.ndarray, "row sample"], clusters: Int[np.ndarray, " sample"] | None
) -> tuple[
    Float[np.ndarray, "row unit"], Float[np.ndarray, "row unit"], Float[np.ndarray, " unit"]
]:
    """Return sums, sums of squares and number of the samples of each cluster.

    Args:
        z: Values.
        clusters: Number of each sample's cluster, from 0 without gaps; None if each sample is its
            own.
    """
    if clusters is None:
        return z, z * z, np.ones(z.shape[1])
    # Sums of slices, whose last bit does not depend on the number of threads as a product's does.
    order = np.argsort(clusters, kind="stable")
    size = np.bincount(clusters)
    starts = np.concatenate([[0], np.cumsum(size)[:-1]])
    sums, squares = (np.add.reduceat(values[:, order], starts, axis=1) for values in (z, z * z))
    return sums, squares, size.astype(np.float64)


def percentile_ends(
    values: Float[np.ndarray, "row resample"], level: float
) -> Float[np.ndarray, "2 row"]:
    """Return the ends of the central share ``level`` of the resampled values."""
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):  # interpolation between two infinities
        ends: np.ndarray = np.quantile(values, [tail, 1 - tail], axis=1)
    return ends


def bca_ends(
    values: Float[np.ndarray, "row resample"],
    estimate: Float[np.ndarray, " row"],
    jackknives: list[Float[np.ndarray, "row ..."]],
    level: float,
) -> Float[np.ndarray, "2 row"]:
    """Return the bias-corrected and accelerated interval.

    Args:
        values: Resampled values.
        estimate: The estimate from the sample.
        jackknives: One array per sample of the comparison, with the values that leave out one of
            its units.
        level: Nominal coverage.
    """
    # A resample that equals the sample ties with it (one in 26 for five units). Ties count half,
    # so that rounding does not decide on which side they lie.
    slack = _TIE * (1 + np.abs(estimate))[:, None]
    below = (values < estimate[:, None] - slack).mean(axis=1) / 2
    below += (values <= estimate[:, None] + slack).mean(axis=1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = special.ndtri(below)[:, None]
        shape = _acceleration(jackknives)[:, None]
        tails = special.ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))[None]
        ranks = special.ndtr(bias + (bias + tails) / (1 - shape * (bias + tails)))
        positions = ranks * (values.shape[1] - 1)
        known = np.isfinite(positions)
        low = np.floor(np.where(known, positions, 0)).astype(np.int64)
        high = np.minimum(low + 1, values.shape[1] - 1)
        ordered = np.sort(values, axis=1)
        first, second = (np.take_along_axis(ordered, index, axis=1) for index in (low, high))
        ends: np.ndarray = first + (second - first) * (positions - low)
    return np.where(known, ends, np.nan).T


def _acceleration(jackknives: list[np.ndarray]) -> np.ndarray:
    """Return the acceleration from the skew of influences; 0 if all influences are zero."""
    cubes = squares = np.zeros(len(jackknives[0]))
    for left_out in jackknives:
        n = left_out.shape[1]
        influence = (n - 1) * (left_out.mean(axis=1, keepdims=True) - left_out)
        cubes = cubes + (influence**3).sum(axis=1) / n**3
        squares = squares + (influence**2).sum(axis=1) / n**2
    skew: np.ndarray = np.where(squares == 0, 0.0, cubes / (6 * squares**1.5))
    return skew


def intervals(
    blocks: list[Float[np.ndarray, "4 _"]],
    offset: Float[np.ndarray, " row"],
    unit: Float[np.ndarray, " row"],
) -> BootstrapIntervals:
    """Join blocks, rescale the mean's ends by offset and unit, and replace infinite ends by NaN."""
    ends = np.concatenate(blocks, axis=1) if blocks else np.empty((4, 0))
    ends = np.where(np.isfinite(ends), ends, np.nan)
    return BootstrapIntervals(offset + unit * ends[0], offset + unit * ends[1], ends[2], ends[3])
