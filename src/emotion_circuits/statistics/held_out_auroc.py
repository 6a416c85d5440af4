"""AUROC of cross-validated scores, with an interval over groups of samples."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special, stats

from emotion_circuits.statistics.auroc import AurocEstimate, score_interval, win_matrix


def held_out_auroc(
    scores: Float[np.ndarray, "shuffle sample"],
    positive: Bool[np.ndarray, " sample"],
    *,
    folds: Int[np.ndarray, "shuffle sample"],
    groups: np.ndarray,
    level: float = 0.95,
) -> AurocEstimate:
    """Estimate the AUROC of cross-validated scores, with an interval over groups.

    A positive sample is compared with the negative samples of its own fold, which the same model
    scored. Models of different folds differ in their intercepts: where a group has one class only,
    comparisons across folds fall below 0.5 when there is nothing to tell. The estimate is the
    share of comparisons won, over all folds and shuffles; ties count half.

    The interval is for the AUROC on new groups. Its variance is that of the jackknife over groups,
    times 1 + k / (k − 1) for k folds, because each sample also trains the models that score the
    others. It is symmetric on the logit scale, with Student's t (groups − 1 degrees of freedom).
    If all comparisons are won, or none, the jackknife sees no variance. The interval is then that
    of ``score_interval`` with as many samples of a class as there are groups with it, divided by
    the same factor.

    Args:
        scores: Held-out scores, for each repetition of the cross-validation.
        positive: Whether each sample is positive.
        folds: The fold that each sample was held out in, for each repetition.
        groups: The group of each sample, such as its template. Groups are independent of each
            other, and each lies within one fold.
        level: Nominal coverage.

    Returns:
        Estimate and interval; all NaN if no fold has both classes or there is only one group.

    Source: Obuchowski 1997, doi:10.2307/2533958 (groups); Nadeau and Bengio 2003,
    doi:10.1023/A:1024068626366 (factor of the variance).
    """
    names, group = np.unique(groups.astype(str), return_inverse=True)
    won, compared = np.zeros((2, len(names)))
    all_won = all_compared = 0.0
    for shuffle in range(len(scores)):
        for fold in np.unique(folds[shuffle]):
            held_out = folds[shuffle] == fold
            wins = win_matrix(scores[shuffle][held_out], positive[held_out])
            rows, columns = group[held_out & positive], group[held_out & ~positive]
            won += _sum_by_group(wins, rows, columns, len(names))
            compared += _sum_by_group(np.ones_like(wins), rows, columns, len(names))
            all_won += wins.sum()
            all_compared += wins.size
    if not all_compared or len(names) < 2:
        return AurocEstimate(float("nan"), float("nan"), float("nan"))
    k = len(np.unique(folds))
    left_out = (all_won - won) / (all_compared - compared)
    factor = 1 + k / (k - 1)
    estimate, end = float(all_won / all_compared), stats.t.ppf((1 + level) / 2, len(names) - 1)
    if estimate in (0.0, 1.0):
        sizes = [len(np.unique(group[of])) / factor for of in (positive, ~positive)]
        return AurocEstimate(estimate, *score_interval(estimate, sizes[0], sizes[1], end))
    reach = end * np.sqrt(factor * (len(names) - 1) * left_out.var())
    reach /= estimate * (1 - estimate)
    lower, upper = special.expit(special.logit(estimate) + np.array([-reach, reach]))
    return AurocEstimate(estimate, float(lower), float(upper))


def _sum_by_group(
    values: Float[np.ndarray, "positive negative"],
    rows: Int[np.ndarray, " positive"],
    columns: Int[np.ndarray, " negative"],
    n_groups: int,
) -> Float[np.ndarray, " group"]:
    """Sum for each group the values of all comparisons in which it takes part."""
    within = np.where(rows[:, None] == columns[None, :], values, 0.0).sum(axis=1)
    of_rows: np.ndarray = np.bincount(rows, values.sum(axis=1) - within, n_groups)
    return of_rows + np.bincount(columns, values.sum(axis=0), n_groups)
