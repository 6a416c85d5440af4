"""One direction against several random ones, with the directions as samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import special

from emotion_circuits.statistics.comparisons import Pairs, Sample


class DirectionTest(NamedTuple):
    """Whether a direction's effect lies outside what random directions scatter.

    Attributes:
        n_random: How many random directions there are.
        p_value: Two-sided; NaN below two directions or where they do not differ.
    """

    n_random: int
    p_value: float


def compare_with_directions(pairs: Pairs, draws: Iterable[Sample]) -> DirectionTest:
    """Test a direction's mean effect against those of random directions.

    A test over texts asks whether this direction differs from the mean of these random ones, and
    with enough texts it always does, for no two directions do exactly the same. This test asks
    whether it differs by more than random directions differ among each other: their means are
    the samples, n_random - 1 the degrees of freedom. Under it a further random direction is
    found at the rate of alpha, however many texts there are.

    Args:
        pairs: The direction's values as ``patched``, with the texts to average over.
        draws: Values under each random direction.

    Source: Crawford and Howell 1998, doi:10.1076/clin.12.4.482.7241.
    """
    means = np.array([np.mean([draw.values[text] for text in pairs.texts]) for draw in draws])
    n = len(means)
    if n < 2 or not pairs.texts:
        return DirectionTest(n, float("nan"))
    spread = means.std(ddof=1)
    scale = max(np.abs(means).max(), np.abs(pairs.patched).max())
    if spread <= np.finfo(np.float32).eps * scale:
        return DirectionTest(n, float("nan"))
    t = (pairs.patched.mean() - means.mean()) / (spread * np.sqrt(1 + 1 / n))
    return DirectionTest(n, float(2 * special.stdtr(n - 1, -abs(t))))
