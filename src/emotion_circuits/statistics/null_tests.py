"""p-values from draws of the null distribution, for one test and for the best test of a family.

A draw is the value of a statistic under the null: after a shuffle of pairs, or with a random
direction or a random set of heads instead of the chosen one. The statistics of a family are drawn
together: ``null[i]`` holds the values of all tests under shuffle i.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float

# Values that differ by at most this share of the largest magnitude among a test's values tie. A
# value computed in another order of summation differs by less, as does the observed value from
# the draw of a shuffle that changes nothing.
SLACK: Final = 1e-9


def rank_p(
    observed: float | Float[np.ndarray, "*test"],
    null: Float[np.ndarray, " draw *test"],
    *,
    slack: float | Float[np.ndarray, "*test"] | None = None,
) -> Float[np.ndarray, "*test"]:
    """Return (1 + number of draws at least as large as the observed value) / (1 + number of draws).

    The test is one-sided: large values speak against the null. Under the null the observed value
    is exchangeable with the draws, and p is at most a with probability at most a. A draw that ties
    with the observed value counts as at least as large.

    Args:
        observed: Value of each test.
        null: Draws of each test.
        slack: How far a draw may fall short of the observed value and still tie with it. ``None``
            for ``SLACK`` times the largest magnitude among the test's values.

    Returns:
        p of each test; NaN without draws, or if a value is not finite.

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
    """Return the share of values that are at least as far from the centre as the observed value.

    The centre is the mean of all values, including the observed one. With the mean of the draws
    alone, the observed value would be further from the centre than an exchangeable draw, and p
    would be too small.

    Args:
        observed: Value of each test.
        null: Draws of each test.
        slack: How much closer to the centre a draw may be and still tie, as in ``rank_p``.

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
    """Return one-sided p-values that are corrected for all tests of a family.

    Each test is standardized by the mean and deviation of its values, and each observed value is
    ranked among the largest standardized values of the draws, taken over all tests. Mean and
    deviation include the observed value; otherwise it would be further out than an exchangeable
    draw. Under the null, the probability that any p of the family is at most a is then at most a,
    however the tests depend on each other.

    Deviations have the number of values in the denominator. With one less, all standardized
    values would change by one factor, and no p would change.

    Args:
        observed: Value of each test; large values speak against the null.
        null: Draws of all tests, with one shuffle per draw.

    Returns:
        p of each test. It is 1 for a test whose values do not vary. It is NaN without draws, and
        for a test with a value that is not finite, which is left out of the family.

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


def _with_observed(
    observed: float | Float[np.ndarray, "*test"], null: Float[np.ndarray, " draw *test"]
) -> Float[np.ndarray, " value *test"]:
    """Put the observed value before its draws; all values of a test without p are NaN."""
    every = np.concatenate([np.asarray(observed)[None], null])
    has_p = np.isfinite(every).all(axis=0) & (len(null) > 0)
    values: np.ndarray = np.where(has_p, every, np.nan)
    return values


def _unit(
    deviation: Float[np.ndarray, " test"], values: Float[np.ndarray, "draw test"]
) -> tuple[Float[np.ndarray, " test"], Float[np.ndarray, " test"]]:
    """Return each test's unit, infinite if its values differ by rounding only, and its slack."""
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
