"""Intervals from mean, deviation and number alone, where single values are not known."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from emotion_circuits.statistics.bootstrap import BootstrapIntervals


def analytic_intervals(
    mean: Float[np.ndarray, " row"],
    std: Float[np.ndarray, " row"],
    n: Int[np.ndarray, " row"],
    *,
    level: float,
) -> BootstrapIntervals:
    """Give the t interval of a mean difference and the noncentral t interval of its d.

    Both hold exactly for normal differences; a bootstrap of the values themselves would not need
    that, and is used wherever they are known.

    Args:
        mean: Mean of the differences.
        std: Their sample standard deviation, above 0.
        n: Number of pairs, at least 2.
        level: Coverage aimed at.

    Source: Cumming and Finch 2001, doi:10.1177/0013164401614002.
    """
    df, root = n - 1.0, np.sqrt(n)
    half = special.stdtrit(df, (1 + level) / 2) * std / root
    t = mean * root / std
    # The noncentralities under which t lies at the upper and at the lower tail.
    lower, upper = (
        special.nctdtrinc(df, tail, t) / root for tail in ((1 + level) / 2, (1 - level) / 2)
    )
    return BootstrapIntervals(mean - half, mean + half, lower, upper)
