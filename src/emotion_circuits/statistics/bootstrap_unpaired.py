"""Bootstrap intervals for two conditions with different texts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from emotion_circuits.statistics.bootstrap import (
    BootstrapIntervals,
    CIMethod,
    bca_ends,
    effect_sizes,
    expanded_level,
    intervals,
    leave_one_out,
    moments,
    percentile_ends,
)
from emotion_circuits.statistics.workers import map_blocks

_Moments = tuple[np.ndarray, np.ndarray]


def bootstrap_unpaired(
    baseline: Float[np.ndarray, "row control"],
    patched: Float[np.ndarray, "row treated"],
    weights: tuple[Float[np.ndarray, "resample control"], Float[np.ndarray, "resample treated"]],
    *,
    level: float,
    method: CIMethod,
    n_jobs: int = 1,
) -> BootstrapIntervals:
    """Return intervals of the difference of means and of d with the pooled deviation.

    Args:
        baseline: Values under the baseline, of comparisons with non-zero variance.
        patched: Values under the other condition, resampled independently.
        weights: The results of ``resample_weights`` for both conditions.
        level: Nominal coverage, such as 0.95.
        method: ``percentile`` or ``bca``.
        n_jobs: Number of threads; results do not depend on it.
    """
    n_0, n_1 = baseline.shape[1], patched.shape[1]
    center = baseline.mean(axis=1)
    pooled = _pooled((n_0, n_1), baseline.var(axis=1, ddof=1), patched.var(axis=1, ddof=1))
    std = np.sqrt(pooled)
    d = (patched.mean(axis=1) - center) / std
    z = [(values - center[:, None]) / std[:, None] for values in (baseline, patched)]
    counts = [np.ascontiguousarray(drawn.T) for drawn in weights]
    levels = (expanded_level(level, n_0 + n_1 - 2), level)
    sizes = [drawn.sum(axis=1) for drawn in weights]

    def work(block: slice) -> np.ndarray:
        sides = [moments(z[side][block], counts[side], sizes[side]) for side in (0, 1)]
        values = _contrasts(sides[0], sides[1], (n_0, n_1))
        if method == "percentile":
            pairs = zip(values, levels, strict=True)
            return np.concatenate([percentile_ends(value, aim) for value, aim in pairs])
        knives = _jackknives(z[0][block], z[1][block])
        parts = zip(values, knives, levels, strict=True)
        ends = [bca_ends(value, d[block], knife, aim) for value, knife, aim in parts]
        return np.concatenate(ends)

    return intervals(map_blocks(work, len(d), n_jobs=n_jobs), np.zeros(len(d)), std)


def _jackknives(control: np.ndarray, treated: np.ndarray) -> list[list[np.ndarray]]:
    """Return jackknives of the mean difference and of d, each with one array per condition."""
    n_0, n_1 = control.shape[1], treated.shape[1]
    whole = [
        moments(values, np.ones((n, 1)), np.array([float(n)]))
        for values, n in ((control, n_0), (treated, n_1))
    ]
    without_control = moments(control, *leave_one_out(n_0))
    without_treated = moments(treated, *leave_one_out(n_1))
    first = _contrasts(without_control, whole[1], (n_0 - 1, n_1))
    second = _contrasts(whole[0], without_treated, (n_0, n_1 - 1))
    return [[first[statistic], second[statistic]] for statistic in (0, 1)]


def _contrasts(control: _Moments, treated: _Moments, sizes: tuple[int, int]) -> _Moments:
    difference = treated[0] - control[0]
    return difference, effect_sizes(difference, _pooled(sizes, control[1], treated[1]))


def _pooled(sizes: tuple[int, int], control: np.ndarray, treated: np.ndarray) -> np.ndarray:
    n_0, n_1 = sizes
    pooled: np.ndarray = ((n_0 - 1) * control + (n_1 - 1) * treated) / (n_0 + n_1 - 2)
    return pooled
