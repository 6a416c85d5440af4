"""How well one score of heads foretells another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats


class Agreement(NamedTuple):
    """How well predicted scores order heads.

    Attributes:
        spearman: Rank correlation; NaN where a score is the same for every head.
        recall: Share of the top heads that are among as many heads predicted to be top.
        chance: What recall is on average for heads in random order.
        n_top: How many heads are called top.
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
        predicted: Larger means more important.
        measured: Likewise.
        share: Which share of heads are top, rounded, but at least one.

    Returns:
        Rank correlation and recall. Of heads with equal scores the ones that come first are
        taken, so heads that are all alike show what chance does.
    """
    n_top = max(1, round(share * len(measured)))
    top = set(np.argsort(-measured, kind="stable")[:n_top])
    guessed = set(np.argsort(-predicted, kind="stable")[:n_top])
    flat = np.ptp(predicted) == 0 or np.ptp(measured) == 0
    spearman = float("nan") if flat else float(stats.spearmanr(predicted, measured).statistic)
    return Agreement(spearman, len(top & guessed) / n_top, n_top / len(measured), n_top)
