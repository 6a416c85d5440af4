"""One direction against several random ones, with the directions as samples."""

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
    """Whether a direction's effect lies outside what random directions scatter.

    Attributes:
        n_random: How many random directions there are.
        t_statistic: Of the test with n_random - 1 degrees of freedom; NaN where there is none.
        p_value: Two-sided, of that t.
        p_rank: Two-sided, from ranks alone: at least 1 / (1 + n_random).
        reason: Why ``p_value`` is missing; empty where it is not.
    """

    n_random: int
    t_statistic: float
    p_value: float
    p_rank: float
    reason: str


def compare_with_directions(pairs: Pairs, draws: Iterable[Sample]) -> DirectionTest:
    """Test a direction's mean effect against those of random directions.

    A test over texts asks whether this direction differs from the mean of these random ones, and
    with enough texts it always does, for no two directions do exactly the same. This test asks
    whether it differs by more than random directions differ among each other: their means are
    the samples, n_random - 1 the degrees of freedom. Under it a further random direction is
    found at the rate of alpha, however many texts there are. It takes the means for normal; the
    p-value from ranks takes only that a random direction in the emotion's place could be any of
    them.

    Args:
        pairs: The direction's values as ``patched``, with the texts to average over.
        draws: Values under each random direction.

    Source: Crawford and Howell 1998, doi:10.1076/clin.12.4.482.7241; ranks: Phipson and Smyth
    2010, doi:10.2202/1544-6115.1585.
    """
    nothing = float("nan")
    listed = list(draws)
    n = len(listed)
    if n < MIN_DIRECTIONS or not pairs.texts:
        reason = NO_SHARED_TEXTS if n >= MIN_DIRECTIONS else TOO_FEW_DIRECTIONS
        return DirectionTest(n, nothing, nothing, nothing, reason)
    means = np.array([np.mean([draw.values[text] for text in pairs.texts]) for draw in listed])
    own, spread = float(pairs.patched.mean()), float(means.std(ddof=1))
    resolution = RESOLUTION * float(max(np.abs(means).max(), np.abs(pairs.patched).max()))
    p_rank = float(two_sided_rank_p(own, means, slack=resolution))
    if spread <= resolution:
        return DirectionTest(n, nothing, nothing, p_rank, FLAT_DIRECTIONS)
    t = (own - float(means.mean())) / (spread * np.sqrt(1 + 1 / n))
    return DirectionTest(n, float(t), float(2 * special.stdtr(n - 1, -abs(t))), p_rank, "")
