"""Maps from their definitions, by NumPy and SciPy: the oracle for ``maps``.

The oracle shares no code with ``maps`` and ``maps_torch``. It fits a map for every left-out prompt,
penalty and shuffle, and chooses rank and penalty as ``MapOptions`` describes, with its own
thresholds. All activations are centred before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import lstsq, orthogonal_procrustes


def fit_matrix(
    rows_a: Float[np.ndarray, "prompt position d_a"],
    rows_b: Float[np.ndarray, "prompt position d_b"],
    *,
    method: str,
    rank: int | None,
    penalties: Sequence[float],
) -> tuple[Float[np.ndarray, "d_b d_a"], int, float]:
    """Learn a map; return its matrix, its rank and the ridge penalty (NaN for other methods)."""
    flat_a, flat_b = (side.reshape(-1, side.shape[-1]) for side in (rows_a, rows_b))
    if method == "ridge":
        # Outside A's independent directions there are only rounding errors.
        axes, lengths = _principal_axes(flat_a, _rank(flat_a))
        unit = float((lengths**2).mean())
        penalty = _best_penalty(rows_a @ axes.T, rows_b, penalties, unit)
        matrix: np.ndarray = _ridge(flat_a @ axes.T, flat_b, penalty * unit) @ axes
        return matrix, len(axes), penalty
    kept = min(_rank(flat_a), _rank(flat_b))
    if rank is not None:
        kept = min(kept, rank)
    elif method == "cca":
        kept = max(1, min(kept, len(flat_a) // 4))
    return _rotation(flat_a, flat_b, method, kept), kept, float("nan")


def turn_with_shuffled_pairs(
    rows_a: Float[np.ndarray, "prompt position d_a"],
    rows_b: Float[np.ndarray, "prompt position d_b"],
    directions: Float[np.ndarray, "direction d_a"],
    shuffles: Int[np.ndarray, "shuffle prompt"],
    *,
    method: str,
    rank: int,
    penalty: float,
) -> Float[np.ndarray, "shuffle direction d_b"]:
    """Learn a map for each shuffle of B's prompts, and map directions by it."""
    turned = []
    for shuffle in shuffles:
        matrix, _, _ = fit_matrix(
            rows_a, rows_b[shuffle], method=method, rank=rank, penalties=[penalty]
        )
        turned.append(directions @ matrix.T)
    return np.stack(turned)


def _rank(data: np.ndarray) -> int:
    """Return the rank up to the precision of stored activations, 1e-7."""
    return int(np.linalg.matrix_rank(data, rtol=1e-7))


def _best_penalty(
    rows_a: np.ndarray, rows_b: np.ndarray, penalties: Sequence[float], unit: float
) -> float:
    """Choose the penalty with the least leave-one-out error; ties go to the largest penalty.

    Errors tie if they differ by 1e-5 of the least error plus 1e-12 of B's sum of squares.
    """
    errors = {penalty: _left_out_error(rows_a, rows_b, penalty * unit) for penalty in penalties}
    least = min(errors.values())
    margin = 1e-5 * least + 1e-12 * float((rows_b**2).sum())
    best = min(penalties)
    for penalty in sorted(penalties):
        if errors[penalty] - least <= margin:
            best = penalty
    return best


def _left_out_error(rows_a: np.ndarray, rows_b: np.ndarray, penalty: float) -> float:
    """Return the sum of squared errors of maps on the prompts left out of their training."""
    error = 0.0
    for prompt in range(len(rows_a)):
        others = np.arange(len(rows_a)) != prompt
        mean_a, mean_b = (side[others].mean(axis=0) for side in (rows_a, rows_b))
        flat_a, flat_b = (
            (side[others] - mean).reshape(-1, side.shape[-1])
            for side, mean in ((rows_a, mean_a), (rows_b, mean_b))
        )
        predicted = (rows_a[prompt] - mean_a) @ _ridge(flat_a, flat_b, penalty).T + mean_b
        error += float(((rows_b[prompt] - predicted) ** 2).sum())
    return error


def _ridge(rows_a: np.ndarray, rows_b: np.ndarray, penalty: float) -> np.ndarray:
    """Minimise |A Wᵀ − B|² + penalty · |W|² as least squares with the equations √penalty W = 0."""
    d_a, d_b = rows_a.shape[1], rows_b.shape[1]
    left = np.concatenate([rows_a, np.sqrt(penalty) * np.eye(d_a)])
    solution: np.ndarray = lstsq(left, np.concatenate([rows_b, np.zeros((d_a, d_b))]))[0]
    return solution.T


def _rotation(rows_a: np.ndarray, rows_b: np.ndarray, method: str, rank: int) -> np.ndarray:
    """Rotate A's first principal components onto B's by SciPy, for procrustes with one scale."""
    (axes_a, lengths_a), (axes_b, lengths_b) = (
        _principal_axes(side, rank) for side in (rows_a, rows_b)
    )
    if method == "procrustes":
        lengths_a, lengths_b = np.ones(rank), np.ones(rank)
    scores_a, scores_b = rows_a @ axes_a.T / lengths_a, rows_b @ axes_b.T / lengths_b
    rotation, total = orthogonal_procrustes(scores_a, scores_b)
    scale = total / (scores_a**2).sum() if method == "procrustes" else 1.0
    # From A's coordinates to scores, rotated, and back to B's coordinates.
    matrix: np.ndarray = scale * (axes_a.T / lengths_a @ rotation * lengths_b @ axes_b).T
    return matrix


def _principal_axes(data: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first principal directions and the norm of the scores along each."""
    axes = np.linalg.svd(data, full_matrices=False)[2][:rank]
    return axes, np.linalg.norm(data @ axes.T, axis=0)
