"""p-values of statistics by draws: of one test, and of the best test of a family.

A draw is the value of a statistic where there is nothing to find: after a shuffle of pairs, or
with a random direction or a random set of heads in the place of the chosen one. The statistics of
a family are drawn together: one row of ``null`` is one shuffle for all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float

# Two values are taken to be equal if they differ by no more than this share of the largest
# magnitude among a test's values. One value computed in two orders differs by less, and so does
# the observed value from that of a shuffle which leaves the order as it is.
SLACK: Final = 1e-9


def rank_p(
    observed: float | Float[np.ndarray, "*test"],
    null: Float[np.ndarray, " draw *test"],
    *,
    slack: float | Float[np.ndarray, "*test"] | None = None,
) -> Float[np.ndarray, "*test"]:
    """Give the share of all draws, the observed value included, that reach the observed value.

    (1 + number of draws at least as large) / (1 + number of draws). The test is one-sided: large
    values speak against the null. If the observed value is one more draw, p is at most a with a
    chance of at most a. A draw that ties with the observed value reaches it.

    Args:
        observed: Value of each test.
        null: Draws of each test.
        slack: How far a draw may fall short of the observed value and still tie with it. ``None``
            for ``SLACK`` times the largest magnitude among the test's values.

    Returns:
        p of each test. NaN without draws, and where a value is not finite.

    Source: Monte Carlo test, Davison and Hinkley 1997, 4.2; Phipson and Smyth 2010,
    doi:10.2202/1544-6115.1585.
    """
    every = _with_observed(observed, null)
    if slack is None:
        slack = SLACK * np.abs(every).max(axis=0)
    share = (every >= every[0] - slack).mean(axis=0)
    p: np.ndarray = np.where(np.isnan(every[0]), np.nan, share)
    return p


def two_sided_rank_p(
    observed: float | Float[np.ndarray, "*test"],
    null: Float[np.ndarray, " draw *test"],
    *,
    slack: float | Float[np.ndarray, "*test"] | None = None,
) -> Float[np.ndarray, "*test"]:
    """Give the share of all draws at least as far from their middle as the observed value.

    The middle is the mean of all values, the observed one included. If it were the mean of the
    draws alone, the observed value would lie further from it than a draw does, and p would be too
    small.

    Args:
        observed: Value of each test.
        null: Draws of each test.
        slack: As in ``rank_p``: how much nearer to the middle a draw may lie and still tie.

    Returns:
        p of each test; NaN as in ``rank_p``.
    """
    every = _with_observed(observed, null)
    if slack is None:
        slack = SLACK * np.abs(every).max(axis=0)
    distances = np.abs(every - every.mean(axis=0))
    return rank_p(distances[0], distances[1:], slack=slack)


def max_t_p(
    observed: Float[np.ndarray, " test"], null: Float[np.ndarray, "draw test"]
) -> Float[np.ndarray, " test"]:
    """Give one-sided p-values that hold for all tests of a family together.

    Each test is measured in standard deviations of its draws, and each observed value is ranked
    among the largest measure of any test in each draw: the best of many tests is compared with
    the best of many tests. The observed value is counted into the mean and the deviation of its
    test, as one more draw. If it were left out, it would lie further out than a draw does. The
    chance that any p of the family is at most a is then at most a where there is nothing to find,
    however the tests depend on each other.

    Deviations have the number of values in the denominator. With one less, all measures change by
    one factor and no p changes.

    Args:
        observed: Value of each test; large values speak against the null.
        null: Draws of all tests, the same shuffle in one row.

    Returns:
        p of each test. It is 1 for a test whose values do not vary. NaN without draws, and for a
        test with a value that is not finite, which is left out of the family.

    Source: single-step max-T, Westfall and Young 1993, 2.5; Nichols and Holmes 2002,
    doi:10.1002/hbm.1058.
    """
    p = np.full(len(observed), np.nan)
    every = _with_observed(observed, null)
    known = ~np.isnan(every[0])
    if known.any():
        every = every[:, known]
        unit, slack = _unit(every.std(axis=0), every)
        measures = (every - every.mean(axis=0)) / unit
        p[known] = _rank_among_largest(measures[0], measures[1:], slack / unit)
    return p


def bootstrap_max_p(
    estimates: Float[np.ndarray, " test"], resampled: Float[np.ndarray, "resample test"]
) -> Float[np.ndarray, " test"]:
    """Give two-sided p-values of estimates being 0 that hold for all estimates together.

    This is another statistic than that of ``max_t_p``. Resamples scatter about the estimate, not
    about what is found where there is nothing: their distances from the estimate stand for the
    estimate's distance from the truth. So the unit is the root mean square of the distances,
    which counts the bias of resamples too, and the estimate is no draw that could be counted into
    it. The distance of each estimate from 0 is ranked among the largest distance of any estimate
    in each resample.

    Args:
        estimates: Estimate of each test.
        resampled: The same in each resample, the same resample in one row.

    Returns:
        p of each test. It is 1 for an estimate from which no resample differs; NaN without
        resamples.

    Source: bootstrap single-step max-T, Westfall and Young 1993, 2.6.
    """
    if not len(resampled):
        return np.full(len(estimates), np.nan)
    distances = np.abs(resampled - estimates)
    every = np.concatenate([estimates[None], resampled])
    unit, slack = _unit(np.sqrt((distances**2).mean(axis=0)), every)
    return _rank_among_largest(np.abs(estimates) / unit, distances / unit, slack / unit)


def _with_observed(
    observed: float | Float[np.ndarray, "*test"], null: Float[np.ndarray, " draw *test"]
) -> Float[np.ndarray, " value *test"]:
    """Put the observed value before its draws; all NaN for a test that has no p."""
    every = np.concatenate([np.asarray(observed)[None], null])
    has_p = np.isfinite(every).all(axis=0) & (len(null) > 0)
    values: np.ndarray = np.where(has_p, every, np.nan)
    return values


def _unit(
    deviation: Float[np.ndarray, " test"], values: Float[np.ndarray, "draw test"]
) -> tuple[Float[np.ndarray, " test"], Float[np.ndarray, " test"]]:
    """Give each test's unit, infinite where its values differ by rounding alone; and its slack."""
    slack: np.ndarray = SLACK * np.abs(values).max(axis=0)
    unit: np.ndarray = np.where(deviation > slack, deviation, np.inf)
    return unit, slack


def _rank_among_largest(
    observed: Float[np.ndarray, " test"],
    measures: Float[np.ndarray, "draw test"],
    slack: Float[np.ndarray, " test"],
) -> Float[np.ndarray, " test"]:
    largest = measures.max(axis=1, keepdims=True)
    return rank_p(observed, np.broadcast_to(largest, measures.shape), slack=slack)
