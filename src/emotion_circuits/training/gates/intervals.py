"""Intervals of the gates."""

from __future__ import annotations

from typing import Final

import numpy as np

N_BOOTSTRAP: Final = 1000


def interval(estimate: float, resampled: list[float]) -> dict[str, float]:
    """Give an estimate with its 95 % percentile interval, rounded for a file."""
    lower, upper = np.quantile(resampled, [0.025, 0.975])
    return cell(estimate, lower, upper)


def cell(value: float, lower: float, upper: float) -> dict[str, float]:
    """Give an estimate with the ends of its interval, rounded for a file."""
    return {
        "value": round(float(value), 4),
        "ci_lower": round(float(lower), 4),
        "ci_upper": round(float(upper), 4),
    }
