"""Confidence intervals of the gates."""

from __future__ import annotations

from typing import Final

import numpy as np

N_BOOTSTRAP: Final = 1000


def interval(estimate: float, resampled: list[float]) -> dict[str, float]:
    """Return an estimate with its 95 % percentile interval, rounded to 4 digits."""
    lower, upper = np.quantile(resampled, [0.025, 0.975])
    return cell(estimate, lower, upper)


def cell(value: float, lower: float, upper: float) -> dict[str, float]:
    """Return an estimate and the ends of its interval, rounded to 4 digits."""
    return {
        "value": round(float(value), 4),
        "ci_lower": round(float(lower), 4),
        "ci_upper": round(float(upper), 4),
    }
