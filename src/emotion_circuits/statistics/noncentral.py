"""Intervals from mean, standard deviation and number of pairs alone."""

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
    """Return the t interval of a mean difference and the noncentral t interval of its d.

    Both are exact for normal differences. If single values are known, a bootstrap is used instead,
    which does not assume normality.

    Args:
        mean: Mean of the differences.
        std: Sample standard deviation of the differences, above 0.
        n: Number of pairs, at least 2.
        level: Nominal coverage.

    Source: Cumming and Finch 2001, doi:10.1177/0013164401614002.
    """
    df, root = n - 1.0, np.sqrt(n)
    half = special.stdtrit(df, (1 + level) / 2) * std / root
    t = mean * root / std
    # The noncentralities for which t is at the end of the upper and of the lower tail.
    lower, upper = (
        special.nctdtrinc(df, tail, t) / root for tail in ((1 + level) / 2, (1 - level) / 2)
    )
    return BootstrapIntervals(mean - half, mean + half, lower, upper)
