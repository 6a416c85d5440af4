"""Maps by PyTorch on any device, with one decomposition for all penalties and shuffles.

Which rank and which penalty a map has is chosen in ``maps``. All rows come centred, and
arithmetic is in double precision.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.geometry.angles import RANK_TOLERANCE

# Numbers to hold at once while maps of many shuffles are computed: 160 MB.
_BUDGET: Final = 20_000_000


class Ridge:
    """Ridge maps of any penalty, as a multiple of the mean squared singular value of A's rows.

    Attributes:
        rank: Independent directions of A's rows.
    """

    def __init__(
        self,
        rows_a: Float[np.ndarray, "prompt position d_a"],
        rows_b: Float[np.ndarray, "prompt position d_b"],
        device: torch.device | str,
    ) -> None:
        """Decompose A's rows.

        Args:
            rows_a: A's rows.
            rows_b: B's rows of the same prompts.
            device: Where to compute.
        """
        a, self._b = (move(rows, device) for rows in (rows_a, rows_b))
        self._left, self._values, self._right = _decompose(a)
        self._unit = float((self._values**2).mean())
        self.rank = len(self._values)

    def matrix(self, penalty: float) -> Float[np.ndarray, "d_b d_a"]:
        """Give a map's matrix."""
        matrix: np.ndarray = (
            ((self._b.flatten(0, 1).T @ self._left) * self._shrunk(penalty) @ self._right)
            .cpu()
            .numpy()
        )
        return matrix

    def left_out_error(self, penalty: float) -> float:
        """Give the error of left-out prompts from one fit: (I − H_ii)⁻¹ times what it leaves over.

        H_ii is the prompt's block of the matrix that takes data to fitted values, means included.

        Source: Allen 1974 (PRESS); in blocks, as for leaving out several rows at a time.
        """
        sizes = self._b.shape[:2]
        share = self._values**2 / (self._values**2 + penalty * self._unit)
        targets = self._b.flatten(0, 1)
        over = (targets - (self._left * share) @ (self._left.T @ targets)).unflatten(0, sizes)
        half = (self._left * share.sqrt()).unflatten(0, sizes)
        identity = torch.eye(sizes[1], dtype=self._b.dtype, device=self._b.device)
        own = half @ half.mT + identity / sizes[0]
        return float((torch.linalg.solve(identity - own, over) ** 2).sum())

    def turn_with_shuffled_pairs(
        self,
        directions: Float[np.ndarray, "direction d_a"],
        shuffles: Int[np.ndarray, "shuffle prompt"],
        penalty: float,
    ) -> Float[np.ndarray, "shuffle direction d_b"]:
        """Map directions by the maps of shuffled pairs, without learning each map.

        A ridge map takes a direction u to Yᵀ g with g = X (XᵀX + λ)⁻¹ u. Shuffling the pairs is
        shuffling the rows of g, which has as many columns as there are directions, and no system
        is solved anew.
        """
        vectors, orders = _beside(self._b, directions, shuffles)
        weights = (self._left * self._shrunk(penalty)) @ (self._right @ vectors.T)
        weights = weights.unflatten(0, self._b.shape[:2])
        size = max(1, _BUDGET // max(1, weights.numel()))
        targets = self._b.flatten(0, 1)
        turned = [
            weights[part.argsort(dim=1)].flatten(1, 2).mT @ targets for part in orders.split(size)
        ]
        return torch.cat(turned).cpu().numpy()

    def _shrunk(self, penalty: float) -> Float[Tensor, " rank"]:
        return self._values / (self._values**2 + penalty * self._unit)


class Rotation:
    """Principal components of both models, between which pairs decide a rotation."""

    def __init__(
        self,
        rows_a: Float[np.ndarray, "prompt position d_a"],
        rows_b: Float[np.ndarray, "prompt position d_b"],
        method: str,
        rank: int,
        device: torch.device | str,
    ) -> None:
        """Find the components.

        Args:
            rows_a: A's rows.
            rows_b: B's rows of the same prompts.
            method: ``procrustes`` (with one scale) or ``cca`` (components of unit variance).
            rank: Components to keep.
            device: Where to compute.
        """
        a, b = (move(rows, device) for rows in (rows_a, rows_b))
        self._scaled = method == "procrustes"
        bases = []
        for rows in (a, b):
            _, values, right = _decompose(rows)
            lengths = values[:rank] if method == "cca" else torch.ones_like(values[:rank])
            bases.append((right[:rank], lengths))
        (self._a, self._lengths_a), (self._b, self._lengths_b) = bases
        self._scores_a = a @ self._a.T / self._lengths_a
        self._scores_b = b @ self._b.T / self._lengths_b

    def matrix(self) -> Float[np.ndarray, "d_b d_a"]:
        """Give the map's matrix."""
        everything = torch.eye(self._a.shape[-1], dtype=self._a.dtype, device=self._a.device)
        as_it_is = torch.arange(len(self._scores_a), device=self._a.device)
        matrix: np.ndarray = self._turn(everything, as_it_is[None])[0].T.cpu().numpy()
        return matrix

    def turn_with_shuffled_pairs(
        self,
        directions: Float[np.ndarray, "direction d_a"],
        shuffles: Int[np.ndarray, "shuffle prompt"],
    ) -> Float[np.ndarray, "shuffle direction d_b"]:
        """Map directions by the maps of shuffled pairs.

        Principal components stay, and their cross-product is decomposed anew.
        """
        vectors, orders = _beside(self._b, directions, shuffles)
        size = max(1, _BUDGET // max(1, self._scores_b.numel()))
        turned = [self._turn(vectors, part) for part in orders.split(size)]
        return torch.cat(turned).cpu().numpy()

    def _turn(
        self, vectors: Float[Tensor, "vector d_a"], orders: Int[Tensor, "shuffle prompt"]
    ) -> Float[Tensor, "shuffle vector d_b"]:
        """Map vectors by the rotation that each order of B's prompts gives."""
        paired = self._scores_b[orders].flatten(1, 2)
        left, values, right = torch.linalg.svd(paired.mT @ self._scores_a.flatten(0, 1))
        turned = (vectors @ self._a.T / self._lengths_a) @ (left @ right).mT
        if self._scaled:
            turned = turned * (values.sum(dim=-1) / (self._scores_a**2).sum())[:, None, None]
        into_b: Tensor = turned * self._lengths_b @ self._b
        return into_b


def numerical_rank(
    rows: Float[np.ndarray, "prompt position d_model"], device: torch.device | str
) -> int:
    """Count independent directions among all rows, up to single-precision rounding."""
    values = torch.linalg.svdvals(move(rows, device).flatten(0, 1))
    return int((values > RANK_TOLERANCE * values[0]).sum())


def move(rows: Float[np.ndarray, "*shape"], device: torch.device | str) -> Float[Tensor, "*shape"]:
    """Put rows on a device in double precision, which MPS has not: there the CPU stands in.

    MPS also lacks QR, least squares and a singular value decomposition of its own.
    """
    place = torch.device(device)
    return torch.from_numpy(rows).double().to("cpu" if place.type == "mps" else place)


def _beside(
    rows: Tensor,
    directions: Float[np.ndarray, "direction d_a"],
    shuffles: Int[np.ndarray, "shuffle prompt"],
) -> tuple[Float[Tensor, "direction d_a"], Int[Tensor, "shuffle prompt"]]:
    """Put directions and shuffles where the rows are."""
    return move(directions, rows.device), torch.from_numpy(shuffles).to(rows.device)


def _decompose(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular value decomposition of all rows, without what is zero but for rounding."""
    left, values, right = torch.linalg.svd(rows.flatten(0, 1), full_matrices=False)
    kept = values > RANK_TOLERANCE * values[0]
    return left[:, kept], values[kept], right[kept]
