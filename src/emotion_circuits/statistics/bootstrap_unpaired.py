"""Bootstrap intervals where the two conditions have different texts."""

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
    """Give intervals of the difference of means and of d with the pooled deviation.

    Args:
        baseline: Values under the one condition, rows with variance only.
        patched: Values under the other; the two are resampled apart.
        weights: What ``resample_weights`` drew for each.
        level: Coverage aimed at, such as 0.95.
        method: ``percentile`` or ``bca``.
        n_jobs: Threads; no result depends on it.
    """
    n_0, n_1 = baseline.shape[1], patched.shape[1]
    center = baseline.mean(axis=1)
    pooled = _pooled((n_0, n_1), baseline.var(axis=1, ddof=1), patched.var(axis=1, ddof=1))
    std = np.sqrt(pooled)
    d = (patched.mean(axis=1) - center) / std
    z = [(values - center[:, None]) / std[:, None] for values in (baseline, patched)]
    turned = [np.ascontiguousarray(drawn.T) for drawn in weights]
    levels = (expanded_level(level, n_0 + n_1 - 2), level)
    sizes = [drawn.sum(axis=1) for drawn in weights]

    def work(rows: slice) -> np.ndarray:
        sides = [moments(z[side][rows], turned[side], sizes[side]) for side in (0, 1)]
        values = _contrasts(sides[0], sides[1], (n_0, n_1))
        if method == "percentile":
            pairs = zip(values, levels, strict=True)
            return np.concatenate([percentile_ends(value, aim) for value, aim in pairs])
        knives = _jackknives(z[0][rows], z[1][rows])
        parts = zip(values, knives, levels, strict=True)
        return np.concatenate([bca_ends(value, d[rows], knife, aim) for value, knife, aim in parts])

    return intervals(map_blocks(work, len(d), n_jobs=n_jobs), np.zeros(len(d)), std)


def _jackknives(control: np.ndarray, treated: np.ndarray) -> list[list[np.ndarray]]:
    """Leave out each sample of each side; for mean difference and d, one array a side."""
    n_0, n_1 = control.shape[1], treated.shape[1]
    whole = [
        moments(values, np.ones((n, 1)), np.array([float(n)]))
        for values, n in ((control, n_0), (treated, n_1))
    ]
    without_control = moments(control, *leave_one_out(n_0))
    without_treated = moments(treated, *leave_one_out(n_1))
    first = _contrasts(without_control, whole[1], (n_0 - 1, n_1))
    second = _contrasts(whole[0], without_treated, (n_0, n_1 - 1))
    return [[first[place], second[place]] for place in (0, 1)]


def _contrasts(control: _Moments, treated: _Moments, sizes: tuple[int, int]) -> _Moments:
    difference = treated[0] - control[0]
    return difference, effect_sizes(difference, _pooled(sizes, control[1], treated[1]))


def _pooled(sizes: tuple[int, int], control: np.ndarray, treated: np.ndarray) -> np.ndarray:
    n_0, n_1 = sizes
    pooled: np.ndarray = ((n_0 - 1) * control + (n_1 - 1) * treated) / (n_0 + n_1 - 2)
    return pooled
