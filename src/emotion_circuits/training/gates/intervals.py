"""Intervals of the gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from jaxtyping import Float

N_BOOTSTRAP: Final = 1000


def paired_d(differences: Float[np.ndarray, " prompt"]) -> float:
    """Cohen's d of paired samples: the mean difference over the differences' deviation.

    Where nothing changes at all it is zero.
    """
    mean = float(differences.mean())
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if mean == 0.0:
        return 0.0
    return mean / deviation if deviation > 0 else float(np.copysign(np.inf, mean))


def interval(estimate: float, resampled: list[float]) -> dict[str, float]:
    """Give an estimate with its 95 % percentile interval, rounded for a file."""
    lower, upper = np.quantile(resampled, [0.025, 0.975])
    return {
        "value": round(float(estimate), 4),
        "ci_lower": round(float(lower), 4),
        "ci_upper": round(float(upper), 4),
    }


def bootstrap_interval(
    values: Float[np.ndarray, " prompt"],
    statistic: Callable[[np.ndarray], Any],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Resample prompts with replacement, and give the statistic with its interval."""
    n = len(values)
    resampled = [float(statistic(values[rng.integers(0, n, n)])) for _ in range(N_BOOTSTRAP)]
    return interval(float(statistic(values)), resampled)
