"""Area under the ROC curve (AUROC) of scores that separate two classes, with an interval."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, special, stats

from emotion_circuits.statistics.clusters import cluster_df

_STEP: Final = 1e-9


class AurocEstimate(NamedTuple):
    """An AUROC and its interval.

    Attributes:
        auroc: 0.5 at chance; NaN if a class has no sample.
        ci_lower: Lower end of the interval.
        ci_upper: Upper end of the interval.
    """

    auroc: float
    ci_lower: float
    ci_upper: float


def auroc(scores: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"]) -> float:
    """Return the probability that a positive sample scores above a negative one; ties count half.

    Args:
        scores: Scores that should be higher for positive samples.
        positive: Whether each sample is positive.

    Returns:
        A number in [0, 1]; NaN if a class is empty.

    Source: Mann-Whitney U / (n₁ n₀), Hanley and McNeil 1982.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    ranks = stats.rankdata(scores)[positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def estimate_auroc(
    scores: Float[np.ndarray, " sample"],
    positive: Bool[np.ndarray, " sample"],
    *,
    clusters: Int[np.ndarray, " sample"] | None = None,
    level: float = 0.95,
) -> AurocEstimate:
    """Estimate an AUROC and an interval that holds for few samples and for perfect separation.

    The interval has all values θ from which the estimate is at most z √V(θ) away. V is the
    variance for exponential scores, with the mean of both class sizes in place of either, so that
    the interval has a length even if the classes are separated perfectly.

    With clusters, class sizes are divided by the design effect: the variance of the estimate over
    clusters divided by that over independent samples, at least 1. z is then a quantile of t with
    the degrees of freedom of the clusters.

    Args:
        scores: Scores that should be higher for positive samples.
        positive: Whether each sample is positive.
        clusters: Number of each sample's cluster, from 0 without gaps; clusters may have samples
            of both classes. None if each sample is its own.
        level: Nominal coverage.

    Returns:
        Estimate and interval; all NaN if a class is empty. The ends are 0 and 1 if a class has a
        single cluster.

    Source: method 5 of Newcombe 2006, doi:10.1002/sim.2324; effective sizes from the variance of
    Obuchowski 1997, doi:10.2307/2533958.
    """
    estimate = auroc(scores, positive)
    if np.isnan(estimate):
        return AurocEstimate(estimate, estimate, estimate)
    n_positive, n_negative = float(positive.sum()), float((~positive).sum())
    end = float(special.ndtri((1 + level) / 2))
    if clusters is not None:
        df = cluster_df(clusters, positive)
        if not df:
            return AurocEstimate(estimate, 0.0, 1.0)
        factor = design_effect(scores, positive, clusters)
        n_positive, n_negative = n_positive / factor, n_negative / factor
        end = float(special.stdtrit(df, (1 + level) / 2))
    lower, upper = score_interval(estimate, n_positive, n_negative, end)
    return AurocEstimate(estimate, lower, upper)


def score_interval(
    estimate: float, n_positive: float, n_negative: float, end: float
) -> tuple[float, float]:
    """Return Newcombe's interval: all θ with |θ - estimate| ≤ end √V(θ).

    Args:
        estimate: The AUROC.
        n_positive: Samples of the positive class, or their effective number.
        n_negative: Samples of the negative class.
        end: Quantile of the distribution of the standardized estimate, such as 1.96.

    Source: method 5 of Newcombe 2006, doi:10.1002/sim.2324.
    """
    mean_others = (n_positive + n_negative) / 2 - 1

    def variance(theta: float) -> float:
        extra = (1 - theta) / (2 - theta) + theta / (1 + theta)
        pairs = n_positive * n_negative
        return theta * (1 - theta) * (1 + max(mean_others, 0.0) * extra) / pairs

    def outside(theta: float) -> float:
        return (theta - estimate) ** 2 - end**2 * variance(theta)

    # At an estimate of 0 or 1, it solves the equation itself; the other end is meant.
    inner = min(max(estimate, _STEP), 1 - _STEP)
    lower = 0.0 if estimate == 0 else optimize.brentq(outside, 0.0, inner, xtol=1e-12)
    upper = 1.0 if estimate == 1 else optimize.brentq(outside, inner, 1.0, xtol=1e-12)
    return float(lower), float(upper)


def design_effect(
    scores: Float[np.ndarray, " sample"],
    positive: Bool[np.ndarray, " sample"],
    clusters: Int[np.ndarray, " sample"],
) -> float:
    """Return the factor by which clusters raise the variance of an AUROC, at least 1.

    A sample's placement is the share of the other class that it beats. If the classes are
    separated perfectly, all placements are alike and say nothing of clusters; then ranks within a
    class stand for them.

    Args:
        scores: Scores that should be higher for positive samples.
        positive: Whether each sample is positive.
        clusters: Number of each sample's cluster, from 0 without gaps.
    """
    wins = win_matrix(scores, positive)
    placements = [wins.mean(axis=1), 1 - wins.mean(axis=0)]
    if wins.mean() in (0.0, 1.0):
        placements = [stats.rankdata(scores[of]) / of.sum() for of in (positive, ~positive)]
        placements[1] = 1 - placements[1]
    n_clusters = int(clusters.max()) + 1
    sums, independent = np.zeros(n_clusters), 0.0
    for sign, of, values in zip((1, -1), (positive, ~positive), placements, strict=True):
        residual = sign * (values - values.mean()) / len(values)
        sums += np.bincount(clusters[of], residual, minlength=n_clusters)
        independent += float((residual**2).sum()) * len(values) / (len(values) - 1)
    together = float((sums**2).sum()) * n_clusters / (n_clusters - 1)
    return max(1.0, together / independent) if independent > 0 else 1.0


def win_matrix(
    scores: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"]
) -> Float[np.ndarray, "positive negative"]:
    """Return 1 if a positive sample scores above a negative one, 0.5 if they tie, else 0."""
    above = scores[positive][:, None] - scores[~positive][None, :]
    wins: np.ndarray = (above > 0) + 0.5 * (above == 0)
    return wins
