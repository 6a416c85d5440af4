"""Maps by NumPy, each as its definition says it: the oracle for ``maps_torch``.

Nothing is reused between left-out prompts or between shuffles. All rows come centred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from emotion_circuits.geometry.angles import RANK_TOLERANCE


class Basis(NamedTuple):
    """Principal components, and what their scores are divided by.

    Attributes:
        components: Rows are orthonormal directions, most variance first.
        lengths: 1, or the norm of each component's scores, which whitens them.
    """

    components: Float[np.ndarray, "rank d_model"]
    lengths: Float[np.ndarray, " rank"]

    @property
    def rank(self) -> int:
        """Number of components."""
        return len(self.components)

    def truncate(self, rank: int) -> Basis:
        """Keep the first components."""
        return Basis(self.components[:rank], self.lengths[:rank])

    def scores(self, rows: Float[np.ndarray, "row d_model"]) -> Float[np.ndarray, "row rank"]:
        """Coordinates of rows in this basis."""
        scores: np.ndarray = rows @ self.components.T / self.lengths
        return scores


def principal_basis(rows: Float[np.ndarray, "row d_model"], *, whiten: bool) -> Basis:
    """Find the principal components of centred rows, as many as are above rounding."""
    _, values, components = np.linalg.svd(rows, full_matrices=False)
    kept = values > RANK_TOLERANCE * values.max(initial=0.0)
    return Basis(components[kept], values[kept] if whiten else np.ones(kept.sum()))


def choose_rank(method: str, asked: int | None, n_rows: int, rank_a: int, rank_b: int) -> int:
    """Settle how many principal components to keep: no more than both models have."""
    most = min(rank_a, rank_b)
    if asked is not None:
        return min(asked, most)
    return max(1, min(most, n_rows // 4)) if method == "cca" else most


def choose_penalty(errors: Sequence[float], penalties: Sequence[float], total: float) -> float:
    """Take the penalty of least error; where errors hardly differ, the largest.

    With fewer prompts than dimensions, the shortcut to left-out errors loses digits as the
    penalty becomes small: half of them at 1e-8.
    """
    least = min(errors)
    return max(
        penalty
        for penalty, error in zip(penalties, errors, strict=True)
        if error <= least * (1 + 1e-5) + 1e-12 * total
    )


def fit_matrix(
    rows_a: Float[np.ndarray, "prompt position d_a"],
    rows_b: Float[np.ndarray, "prompt position d_b"],
    *,
    method: str,
    rank: int | None,
    penalties: Sequence[float],
) -> tuple[Float[np.ndarray, "d_b d_a"], int, float]:
    """Learn a map's matrix.

    Returns:
        Matrix, rank, and the ridge penalty (NaN for other methods).
    """
    flat_a, flat_b = (rows.reshape(-1, rows.shape[-1]) for rows in (rows_a, rows_b))
    if method != "ridge":
        bases = [principal_basis(rows, whiten=method == "cca") for rows in (flat_a, flat_b)]
        kept = choose_rank(method, rank, len(flat_a), bases[0].rank, bases[1].rank)
        return _rotation(flat_a, flat_b, method, kept), kept, float("nan")
    values = np.linalg.svd(flat_a, compute_uv=False)
    values = values[values > RANK_TOLERANCE * values[0]]
    unit = float((values**2).mean())
    errors = [_left_out_error(rows_a, rows_b, penalty * unit) for penalty in penalties]
    penalty = choose_penalty(errors, penalties, float((flat_b**2).sum()))
    return _ridge(flat_a, flat_b, penalty * unit), len(values), penalty


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
    """Learn a map anew for each shuffle of B's prompts, and map directions by it."""
    turned = []
    for shuffle in shuffles:
        matrix, _, _ = fit_matrix(
            rows_a, rows_b[shuffle], method=method, rank=rank, penalties=[penalty]
        )
        turned.append(directions @ matrix.T)
    return np.stack(turned)


def _rotation(rows_a: np.ndarray, rows_b: np.ndarray, method: str, rank: int) -> np.ndarray:
    first, second = (
        principal_basis(rows, whiten=method == "cca").truncate(rank) for rows in (rows_a, rows_b)
    )
    scores_a, scores_b = first.scores(rows_a), second.scores(rows_b)
    left, values, right = np.linalg.svd(scores_b.T @ scores_a)
    scale = values.sum() / (scores_a**2).sum() if method == "procrustes" else 1.0
    out_of_a = first.components / first.lengths[:, None]
    into_b = second.components * second.lengths[:, None]
    matrix: np.ndarray = scale * into_b.T @ left @ right @ out_of_a
    return matrix


def _ridge(rows_a: np.ndarray, rows_b: np.ndarray, penalty: float) -> np.ndarray:
    left, values, right = np.linalg.svd(rows_a, full_matrices=False)
    matrix: np.ndarray = (rows_b.T @ left) * (values / (values**2 + penalty)) @ right
    return matrix


def _left_out_error(rows_a: np.ndarray, rows_b: np.ndarray, penalty: float) -> float:
    """Sum of squared errors of prompts by maps that were learned without them."""
    error = 0.0
    for prompt in range(len(rows_a)):
        others = np.arange(len(rows_a)) != prompt
        mean_a, mean_b = (rows[others].mean(axis=0) for rows in (rows_a, rows_b))
        flat_a, flat_b = (
            (rows[others] - mean).reshape(-1, rows.shape[-1])
            for rows, mean in ((rows_a, mean_a), (rows_b, mean_b))
        )
        predicted = (rows_a[prompt] - mean_a) @ _ridge(flat_a, flat_b, penalty).T + mean_b
        error += float(((rows_b[prompt] - predicted) ** 2).sum())
    return error
