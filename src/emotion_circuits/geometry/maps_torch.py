"""Maps by PyTorch on any device, with one decomposition for all penalties and shuffles.

Same results as ``maps_numpy``. All rows come centred, and arithmetic is in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.geometry.angles import RANK_TOLERANCE
from emotion_circuits.geometry.maps_numpy import choose_penalty, choose_rank

# Numbers to hold at once while maps of many shuffles are computed: 160 MB.
_BUDGET = 20_000_000


def fit_matrix(
    rows_a: Float[np.ndarray, "prompt position d_a"],
    rows_b: Float[np.ndarray, "prompt position d_b"],
    *,
    method: str,
    rank: int | None,
    penalties: Sequence[float],
    device: torch.device | str = "cpu",
) -> tuple[Float[np.ndarray, "d_b d_a"], int, float]:
    """Learn a map's matrix.

    Returns:
        Matrix, rank, and the ridge penalty (NaN for other methods).
    """
    a, b = (move(rows, device) for rows in (rows_a, rows_b))
    if method == "ridge":
        left, values, right = _decompose(a)
        unit = float((values**2).mean())
        errors = [_left_out_error(left, values, b, penalty * unit) for penalty in penalties]
        penalty = choose_penalty(errors, penalties, float((b**2).sum()))
        shrunk = values / (values**2 + penalty * unit)
        matrix = (b.flatten(0, 1).T @ left) * shrunk @ right
        return matrix.cpu().numpy(), len(values), penalty
    kept = choose_rank(method, rank, a.flatten(0, 1).shape[0], *(_rank(rows) for rows in (a, b)))
    frame = _Frame(a, b, method, kept)
    everything = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    columns = frame.turn(everything, torch.arange(len(a), device=a.device)[None])[0]
    return columns.T.cpu().numpy(), kept, float("nan")


def turn_with_shuffled_pairs(
    rows_a: Float[np.ndarray, "prompt position d_a"],
    rows_b: Float[np.ndarray, "prompt position d_b"],
    directions: Float[np.ndarray, "direction d_a"],
    shuffles: Int[np.ndarray, "shuffle prompt"],
    *,
    method: str,
    rank: int,
    penalty: float,
    device: torch.device | str = "cpu",
) -> Float[np.ndarray, "shuffle direction d_b"]:
    """Map directions by the maps of shuffled pairs, without learning each map.

    A ridge map takes a direction u to Yᵀ g with g = X (XᵀX + λ)⁻¹ u. Shuffling the pairs is
    shuffling the rows of g, which has as many columns as there are directions, and no system is
    solved anew. For the other methods principal components stay, and their cross-product is
    decomposed anew.
    """
    a, b, vectors = (move(rows, device) for rows in (rows_a, rows_b, directions))
    orders = torch.from_numpy(shuffles).to(a.device)
    if method == "ridge":
        left, values, right = _decompose(a)
        shrunk = values / (values**2 + penalty * float((values**2).mean()))
        weights = ((left * shrunk) @ (right @ vectors.T)).unflatten(0, a.shape[:2])
        size = max(1, _BUDGET // max(1, weights.numel()))
        turned = [
            weights[orders[start : start + size].argsort(dim=1)].flatten(1, 2).mT @ b.flatten(0, 1)
            for start in range(0, len(orders), size)
        ]
    else:
        frame = _Frame(a, b, method, rank)
        size = max(1, _BUDGET // max(1, b.shape[0] * b.shape[1] * rank))
        turned = [
            frame.turn(vectors, orders[start : start + size])
            for start in range(0, len(orders), size)
        ]
    return torch.cat(turned).cpu().numpy()


def move(rows: Float[np.ndarray, "*shape"], device: torch.device | str) -> Float[Tensor, "*shape"]:
    """Put rows on a device in double precision, which MPS has not: there the CPU stands in.

    MPS also lacks QR, least squares and a singular value decomposition of its own.
    """
    place = torch.device(device)
    return torch.from_numpy(rows).double().to("cpu" if place.type == "mps" else place)


class _Frame:
    """Principal components of both models, between which pairs decide a rotation."""

    def __init__(self, a: Tensor, b: Tensor, method: str, rank: int) -> None:
        self._scaled = method == "procrustes"
        bases = []
        for rows in (a, b):
            _, values, right = _decompose(rows)
            lengths = values[:rank] if method == "cca" else torch.ones_like(values[:rank])
            bases.append((right[:rank], lengths))
        (self._a, self._lengths_a), (self._b, self._lengths_b) = bases
        self._scores_a = a @ self._a.T / self._lengths_a
        self._scores_b = b @ self._b.T / self._lengths_b

    def turn(self, vectors: Tensor, orders: Tensor) -> Tensor:
        """Map vectors by the rotation that each order of B's prompts gives."""
        paired = self._scores_b[orders].flatten(1, 2)
        left, values, right = torch.linalg.svd(paired.mT @ self._scores_a.flatten(0, 1))
        turned = (vectors @ self._a.T / self._lengths_a) @ (left @ right).mT
        if self._scaled:
            turned = turned * (values.sum(dim=-1) / (self._scores_a**2).sum())[:, None, None]
        into_b: Tensor = turned * self._lengths_b @ self._b
        return into_b


def _decompose(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular value decomposition of all rows, without what is zero but for rounding."""
    left, values, right = torch.linalg.svd(rows.flatten(0, 1), full_matrices=False)
    kept = values > RANK_TOLERANCE * values[0]
    return left[:, kept], values[kept], right[kept]


def _rank(rows: Tensor) -> int:
    values = torch.linalg.svdvals(rows.flatten(0, 1))
    return int((values > RANK_TOLERANCE * values[0]).sum())


def _left_out_error(left: Tensor, values: Tensor, b: Tensor, penalty: float) -> float:
    """Error of left-out prompts from one fit: (I − H_ii)⁻¹ times what the fit leaves over.

    H_ii is the prompt's block of the matrix that takes data to fitted values, means included.

    Source: Allen 1974 (PRESS); in blocks, as for leaving out several rows at a time.
    """
    n_prompts, n_positions, _ = b.shape
    share = values**2 / (values**2 + penalty)
    targets = b.flatten(0, 1)
    over = (targets - (left * share) @ (left.T @ targets)).unflatten(0, (n_prompts, n_positions))
    half = (left * share.sqrt()).unflatten(0, (n_prompts, n_positions))
    identity = torch.eye(n_positions, dtype=b.dtype, device=b.device)
    own = half @ half.mT + identity / n_prompts
    return float((torch.linalg.solve(identity - own, over) ** 2).sum())
