"""Test of one direction against random directions, with directions as samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from scipy import special

from emotion_circuits.statistics.comparisons import Pairs, Sample
from emotion_circuits.statistics.effect_sizes import RESOLUTION
from emotion_circuits.statistics.null_tests import two_sided_rank_p

MIN_DIRECTIONS: Final = 3
TOO_FEW_DIRECTIONS: Final = f"fewer than {MIN_DIRECTIONS} random directions"
FLAT_DIRECTIONS: Final = "random directions do not differ"
NO_SHARED_TEXTS: Final = "no text has a value under every direction"


class DirectionTest(NamedTuple):
    """Result of the test whether a direction's effect is outside the spread of random ones.

    Attributes:
        n_random: Number of random directions.
        standard_error: Standard error of the difference between a direction and the mean of the
            random ones; NaN if undefined.
        t_statistic: t with n_random - 1 degrees of freedom; NaN if undefined.
        p_value: Two-sided p-value of that t.
        p_rank: Two-sided rank p-value, at least 1 / (1 + n_random).
        reason: Why ``p_value`` is missing; empty if it is not.
    """

    n_random: int
    standard_error: float
    t_statistic: float
    p_value: float
    p_rank: float
    reason: str


def compare_with_directions(pairs: Pairs, draws: Iterable[Sample]) -> DirectionTest:
    """Test a direction's mean effect against the mean effects of random directions.

    A test over texts asks whether the direction differs from the mean of these random directions.
    With enough texts it always does, since no two directions have exactly the same effect. This
    test asks whether the direction differs more than random directions differ from each other:
    their means are the samples, with n_random - 1 degrees of freedom. It finds another random
    direction significant at the rate alpha, for any number of texts. It assumes that the means are
    normal; the rank p-value assumes only that the direction and the random ones are exchangeable.

    Args:
        pairs: The direction's values as ``patched``, with the texts to average over.
        draws: Values under each random direction.

    Source: Crawford and Howell 1998, doi:10.1076/clin.12.4.482.7241; ranks: Phipson and Smyth
    2010, doi:10.2202/1544-6115.1585.
    """
    nan = float("nan")
    listed = list(draws)
    n = len(listed)
    if n < MIN_DIRECTIONS or not pairs.texts:
        reason = NO_SHARED_TEXTS if n >= MIN_DIRECTIONS else TOO_FEW_DIRECTIONS
        return DirectionTest(n, nan, nan, nan, nan, reason)
    means = np.array([np.mean([draw.values[text] for text in pairs.texts]) for draw in listed])
    own, spread = float(pairs.patched.mean()), float(means.std(ddof=1))
    resolution = RESOLUTION * float(max(np.abs(means).max(), np.abs(pairs.patched).max()))
    p_rank = float(two_sided_rank_p(own, means, slack=resolution))
    if spread <= resolution:
        return DirectionTest(n, nan, nan, nan, p_rank, FLAT_DIRECTIONS)
    error = spread * float(np.sqrt(1 + 1 / n))
    t = (own - float(means.mean())) / error
    return DirectionTest(n, error, t, float(2 * special.stdtr(n - 1, -abs(t))), p_rank, "")
