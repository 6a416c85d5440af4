"""Effect sizes and t-tests of many comparisons: paired, unpaired, or from mean and deviation."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import special

from emotion_circuits.statistics.clusters import cluster_df

# Evaluators score in float32. Differences that vary by less than its relative resolution are
# rounding errors, and dividing by their deviation would turn them into an effect.
RESOLUTION: Final = float(np.finfo(np.float32).eps)

TOO_FEW: Final = "fewer than 2 samples"
ALL_ZERO: Final = "all differences are zero"
NO_VARIANCE: Final = "values do not vary"


class Effects(NamedTuple):
    """Effects of many comparisons; undefined numbers are NaN.

    Attributes:
        mean_diff: Mean of patched minus baseline, in the metric's units.
        std_diff: Denominator of ``cohen_d``: the deviation of the differences, or the pooled one.
        cohen_d: Cohen's d.
        hedges_g: Cohen's d, corrected for the bias of small samples.
        cohen_d_pooled: Mean difference over the root mean square of both conditions' deviations,
            which for groups is ``cohen_d``. NaN if these are unknown.
        standard_error: Standard error of the mean difference.
        df: Degrees of freedom of the test.
        t_statistic: t of the test that the mean difference is zero.
        p_value: Two-sided p-value of that test.
        reason: Why numbers are missing; empty if none is.
    """

    mean_diff: Float[np.ndarray, " row"]
    std_diff: Float[np.ndarray, " row"]
    cohen_d: Float[np.ndarray, " row"]
    hedges_g: Float[np.ndarray, " row"]
    cohen_d_pooled: Float[np.ndarray, " row"]
    standard_error: Float[np.ndarray, " row"]
    df: Float[np.ndarray, " row"]
    t_statistic: Float[np.ndarray, " row"]
    p_value: Float[np.ndarray, " row"]
    reason: Shaped[np.ndarray, " row"]


def paired_effects(
    baseline: Float[np.ndarray, "row pair"],
    patched: Float[np.ndarray, "row pair"],
    *,
    clusters: Int[np.ndarray, " pair"] | None = None,
) -> Effects:
    """Compare conditions pair by pair.

    d is the mean difference over the standard deviation of the differences (d_z), t is d √n with
    n - 1 degrees of freedom. With clusters, d stays and t is cluster-robust: the error of the
    mean is computed from sums over clusters (CR1), with the degrees of freedom of ``cluster_df``.

    Args:
        baseline: Values under the baseline.
        patched: Values of the same texts under the intervention.
        clusters: Number of each pair's cluster, from 0 without gaps.

    Source: Cohen 1988; Lakens 2013, doi:10.3389/fpsyg.2013.00863 (``cohen_d_pooled`` is d_av with
    the root mean square); Cameron and Miller 2015.
    """
    differences = patched - baseline
    n = differences.shape[1]
    if n < 2:
        return _no_effects(differences.mean(axis=1) if n else np.full(len(baseline), np.nan))
    mean, std = differences.mean(axis=1), differences.std(axis=1, ddof=1)
    scale = np.maximum(np.abs(baseline), np.abs(patched)).max(axis=1)
    reason = _reasons(mean, std, scale)
    error = std / np.sqrt(n)
    df = n - 1.0
    if clusters is not None:
        n_clusters = int(clusters.max()) + 1
        residual = differences - mean[:, None]
        # The last bit of a matrix product may depend on the number of threads.
        sums = np.stack(
            [residual[:, clusters == number].sum(axis=1) for number in range(n_clusters)], axis=1
        )
        df = cluster_df(clusters)
        correction = n_clusters / (n_clusters - 1) if n_clusters > 1 else np.nan
        error = np.sqrt(correction * (sums**2).sum(axis=1)) / n
    both = np.sqrt((baseline.var(axis=1, ddof=1) + patched.var(axis=1, ddof=1)) / 2)
    return _effects(mean, (std, both), error, n - 1, np.full(len(mean), df), reason)


def unpaired_effects(
    baseline: Float[np.ndarray, "row control"],
    patched: Float[np.ndarray, "row treated"],
    *,
    clusters: tuple[Int[np.ndarray, " control"], Int[np.ndarray, " treated"]] | None = None,
) -> Effects:
    """Compare conditions with different texts by pooled d and Welch's t.

    With clusters, d stays and t is cluster-robust (CR1), with the degrees of freedom of
    ``cluster_df``.

    Args:
        baseline: Values under the baseline.
        patched: Values of other texts under the intervention.
        clusters: Number of the cluster of each sample of both conditions, which may have clusters
            in common, from 0 without gaps.

    Source: Cohen 1988; Welch 1947; Cameron and Miller 2015.
    """
    n_0, n_1 = baseline.shape[1], patched.shape[1]
    if min(n_0, n_1) < 2:
        known = min(n_0, n_1) > 0
        difference = patched.mean(axis=1) - baseline.mean(axis=1) if known else None
        return _no_effects(np.full(len(baseline), np.nan) if difference is None else difference)
    mean = patched.mean(axis=1) - baseline.mean(axis=1)
    v_0, v_1 = baseline.var(axis=1, ddof=1), patched.var(axis=1, ddof=1)
    pooled = np.sqrt(((n_0 - 1) * v_0 + (n_1 - 1) * v_1) / (n_0 + n_1 - 2))
    scale = np.maximum(np.abs(baseline).max(axis=1), np.abs(patched).max(axis=1))
    e_0, e_1 = v_0 / n_0, v_1 / n_1
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (e_0 + e_1) ** 2 / (e_0**2 / (n_0 - 1) + e_1**2 / (n_1 - 1))
    error = np.sqrt(e_0 + e_1)
    if clusters is not None:
        error, df = _clustered_error(baseline, patched, clusters)
    reason = _reasons(mean, pooled, scale)
    return _effects(mean, (pooled, pooled), error, n_0 + n_1 - 2, df, reason)


def _clustered_error(
    baseline: np.ndarray, patched: np.ndarray, clusters: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return standard errors and degrees of freedom of differences between conditions."""
    n_clusters = 1 + max(int(codes.max()) for codes in clusters)
    n = sum(map(len, clusters))
    scores = np.zeros((len(baseline), n_clusters))
    for sign, values, codes in ((-1, baseline, clusters[0]), (1, patched, clusters[1])):
        residual = sign * (values - values.mean(axis=1, keepdims=True)) / values.shape[1]
        for number in np.unique(codes):
            scores[:, number] += residual[:, codes == number].sum(axis=1)
    treated = np.repeat([False, True], [len(clusters[0]), len(clusters[1])])
    df = cluster_df(np.concatenate(clusters), treated)
    # The correction of a regression on the condition.
    correction = n_clusters / (n_clusters - 1) * (n - 1) / (n - 2) if df else np.nan
    return np.sqrt(correction * (scores**2).sum(axis=1)), np.full(len(baseline), df)


def summary_effects(
    mean: Float[np.ndarray, " row"], std: Float[np.ndarray, " row"], n: Int[np.ndarray, " row"]
) -> Effects:
    """Compute paired effects from mean, deviation and number of pairs.

    Args:
        mean: Mean of the differences.
        std: Sample standard deviation of the differences.
        n: Number of pairs.
    """
    few = n < 2
    reason = _reasons(mean, std, np.abs(mean))
    reason[few] = TOO_FEW
    size = np.where(few, 2, n)
    unknown = np.full(len(mean), np.nan)
    return _effects(mean, (std, unknown), std / np.sqrt(size), size - 1, size - 1, reason)


def hedges_correction(df: Shaped[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Return the factor that removes small-sample bias from d; NaN below 2 degrees of freedom.

    Source: Hedges 1981, J(m) = Γ(m/2) / (√(m/2) Γ((m-1)/2)).
    """
    m = np.where(df < 2, np.nan, df).astype(np.float64)
    factor: np.ndarray = np.exp(special.gammaln(m / 2) - special.gammaln((m - 1) / 2))
    return factor / np.sqrt(m / 2)


def _effects(
    mean: np.ndarray,
    deviations: tuple[np.ndarray, np.ndarray],
    error: np.ndarray,
    df_of_d: int | np.ndarray,
    df: np.ndarray,
    reason: np.ndarray,
) -> Effects:
    """Compute effect sizes and tests of comparisons without a reason against them.

    Args:
        mean: Mean differences.
        deviations: Denominators of ``cohen_d`` and of ``cohen_d_pooled``.
        error: Standard errors of the mean differences.
        df_of_d: Degrees of freedom of the first deviation.
        df: Degrees of freedom of the test.
        reason: Reasons against a comparison.
    """
    bad = reason != ""
    std, both = deviations
    df = np.where(bad, np.nan, df)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(bad, np.nan, mean / std)
        pooled_d = np.where(bad, np.nan, mean / both)
        t = np.where(bad, np.nan, mean / error)
    t = np.where(np.isfinite(t), t, np.nan)
    pooled_d = np.where(np.isfinite(pooled_d), pooled_d, np.nan)
    error = np.where(np.isfinite(t), error, np.nan)
    correction = hedges_correction(np.broadcast_to(df_of_d, mean.shape))
    p = 2 * special.stdtr(df, -np.abs(t))
    return Effects(mean, std, d, d * correction, pooled_d, error, df, t, p, reason)


def _no_effects(mean: np.ndarray) -> Effects:
    nan = np.full(len(mean), np.nan)
    reason = np.full(len(mean), TOO_FEW, dtype=object)
    return Effects(mean, nan, nan, nan, nan, nan, nan, nan, nan, reason)


def _reasons(mean: np.ndarray, std: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return for each comparison why its deviation cannot be a denominator, or an empty string."""
    reason = np.full(len(mean), "", dtype=object)
    flat = ~(std > RESOLUTION * scale)
    reason[flat] = NO_VARIANCE
    reason[flat & (np.abs(mean) <= RESOLUTION * scale)] = ALL_ZERO
    return reason
