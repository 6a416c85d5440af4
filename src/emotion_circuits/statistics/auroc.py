"""How well scores separate two classes: the area under the ROC curve, with an interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class AurocEstimate(NamedTuple):
    """An AUROC with its bootstrap percentile interval.

    Attributes:
        auroc: Chance is 0.5; NaN where a class has no sample.
        ci_lower: Lower end of the interval.
        ci_upper: Upper end of the interval.
    """

    auroc: float
    ci_lower: float
    ci_upper: float


def auroc(scores: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"]) -> float:
    """Chance that a positive sample's score is above a negative one's, ties counting half.

    Args:
        scores: Higher for what is thought positive.
        positive: The truth.

    Returns:
        A number in [0, 1]; NaN if a class is empty.

    Source: Mann-Whitney U / (n₁ n₀), Hanley and McNeil 1982.
    """
    wins = _wins(scores, positive)
    return float(wins.mean()) if wins.size else float("nan")


def estimate_auroc(
    scores: Float[np.ndarray, " sample"],
    positive: Bool[np.ndarray, " sample"],
    *,
    n_bootstrap: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> AurocEstimate:
    """Estimate an AUROC and its percentile interval by a stratified bootstrap.

    Samples are drawn with replacement within each class. A resample's AUROC is the mean of the
    win matrix under the drawn counts, w₁ᵀ W w₀ / (n₁ n₀), so that all resamples are two matrix
    products instead of a sort each.

    Below about ten samples a class the interval is too short, and where the classes are
    separated without a mistake it has no length at all: there it says little.

    Args:
        scores: Higher for what is thought positive.
        positive: The truth.
        n_bootstrap: Number of resamples.
        rng: Source of randomness.
        level: Coverage aimed at.

    Returns:
        Estimate and interval; all NaN if a class is empty.
    """
    wins = _wins(scores, positive)
    if not wins.size:
        return AurocEstimate(float("nan"), float("nan"), float("nan"))
    n_positive, n_negative = wins.shape
    drawn_positive = rng.multinomial(n_positive, np.full(n_positive, 1 / n_positive), n_bootstrap)
    drawn_negative = rng.multinomial(n_negative, np.full(n_negative, 1 / n_negative), n_bootstrap)
    sums = ((drawn_positive @ wins) * drawn_negative).sum(axis=1)
    resampled = sums / (n_positive * n_negative)
    tail = (1 - level) / 2
    lower, upper = np.quantile(resampled, [tail, 1 - tail])
    return AurocEstimate(float(wins.mean()), float(lower), float(upper))


def _wins(
    scores: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"]
) -> Float[np.ndarray, "positive negative"]:
    """Give 1 where a positive sample beats a negative one, 0.5 where they tie."""
    above = scores[positive][:, None] - scores[~positive][None, :]
    wins: np.ndarray = (above > 0) + 0.5 * (above == 0)
    return wins
