"""How well one score of heads predicts another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats


class Agreement(NamedTuple):
    """How well predicted scores order heads.

    Attributes:
        spearman: Rank correlation; NaN if a score is equal for all heads.
        recall: Share of the ``n_top`` top heads that are among the ``n_top`` predicted ones.
        chance: Mean recall for heads in random order.
        n_top: Number of heads that count as top.
    """

    spearman: float
    recall: float
    chance: float
    n_top: int


def rank_agreement(
    predicted: Float[np.ndarray, " head"],
    measured: Float[np.ndarray, " head"],
    *,
    share: float = 0.2,
) -> Agreement:
    """Compare two scores of the same heads.

    Args:
        predicted: Predicted score of each head; larger means more important.
        measured: Measured score of each head; larger means more important.
        share: Share of heads that count as top; their number is rounded, and at least one.

    Returns:
        Rank correlation and recall. Ties go to the heads that come first.
    """
    n_top = max(1, round(share * len(measured)))
    top = set(np.argsort(-measured, kind="stable")[:n_top])
    guessed = set(np.argsort(-predicted, kind="stable")[:n_top])
    flat = np.ptp(predicted) == 0 or np.ptp(measured) == 0
    spearman = float("nan") if flat else float(stats.spearmanr(predicted, measured).statistic)
    return Agreement(spearman, len(top & guessed) / n_top, n_top / len(measured), n_top)
