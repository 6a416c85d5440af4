"""Area under the ROC curve (AUROC) of scores that separate two classes, with an interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class AurocEstimate(NamedTuple):
    """An AUROC and its bootstrap percentile interval.

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
    wins = win_matrix(scores, positive)
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
    win matrix W under the drawn counts w, w₁ᵀ W w₀ / (n₁ n₀). All resamples thus take two matrix
    products instead of one sort each.

    With fewer than about ten samples per class the interval is too short. If the classes are
    perfectly separated, its length is zero.

    Args:
        scores: Scores that should be higher for positive samples.
        positive: Whether each sample is positive.
        n_bootstrap: Number of resamples.
        rng: Source of randomness.
        level: Nominal coverage.

    Returns:
        Estimate and interval; all NaN if a class is empty.
    """
    wins = win_matrix(scores, positive)
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


def win_matrix(
    scores: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"]
) -> Float[np.ndarray, "positive negative"]:
    """Return 1 if a positive sample scores above a negative one, 0.5 if they tie, else 0."""
    above = scores[positive][:, None] - scores[~positive][None, :]
    wins: np.ndarray = (above > 0) + 0.5 * (above == 0)
    return wins
