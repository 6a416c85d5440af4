"""Maps by PyTorch on any device, with one decomposition for all penalties and shuffles.

``maps`` chooses rank and penalty. Activations are centred before, and arithmetic is in double
precision.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.geometry.angles import RANK_TOLERANCE

# Largest number of elements of a batch of shuffles: 160 MB.
_BUDGET: Final = 20_000_000


class Ridge:
    """Ridge maps for any penalty, given as a multiple of the mean squared singular value of A.

    Attributes:
        rank: Rank of A's activations.
    """

    def __init__(
        self,
        rows_a: Float[np.ndarray, "prompt position d_a"],
        rows_b: Float[np.ndarray, "prompt position d_b"],
        device: torch.device | str,
    ) -> None:
        """Decompose A's activations.

        Args:
            rows_a: A's activations.
            rows_b: B's activations of the same prompts.
            device: Device for the computation.
        """
        a, self._b = (move(side, device) for side in (rows_a, rows_b))
        self._left, self._values, self._right = _decompose(a)
        self._unit = float((self._values**2).mean())
        self.rank = len(self._values)

    def matrix(self, penalty: float) -> Float[np.ndarray, "d_b d_a"]:
        """Return the matrix of the map with a penalty."""
        matrix: np.ndarray = (
            ((self._b.flatten(0, 1).T @ self._left) * self._shrunk(penalty) @ self._right)
            .cpu()
            .numpy()
        )
        return matrix

    def left_out_error(self, penalty: float) -> float:
        """Return the sum of squared leave-one-out errors from one fit.

        A prompt's errors are (I − H_ii)⁻¹ times its residuals, where H_ii is the prompt's block of
        the hat matrix, including the means.

        Source: Allen 1974 (PRESS), in blocks for leaving out several vectors at a time.
        """
        sizes = self._b.shape[:2]
        share = self._values**2 / (self._values**2 + penalty * self._unit)
        targets = self._b.flatten(0, 1)
        residuals = targets - (self._left * share) @ (self._left.T @ targets)
        half = (self._left * share.sqrt()).unflatten(0, sizes)
        identity = torch.eye(sizes[1], dtype=self._b.dtype, device=self._b.device)
        own = half @ half.mT + identity / sizes[0]
        errors = torch.linalg.solve(identity - own, residuals.unflatten(0, sizes))
        return float((errors**2).sum())

    def turn_with_shuffled_pairs(
        self,
        directions: Float[np.ndarray, "direction d_a"],
        shuffles: Int[np.ndarray, "shuffle prompt"],
        penalty: float,
    ) -> Float[np.ndarray, "shuffle direction d_b"]:
        """Map directions by the maps of shuffled pairs, without learning each map.

        A ridge map takes a direction u to Yᵀ g with g = X (XᵀX + λ)⁻¹ u. Shuffling the pairs is a
        permutation of the entries of g, so g is computed once per direction.
        """
        vectors, orders = _on_device_of(self._b, directions, shuffles)
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
    """Rotations between principal components of two models, determined by pairs of prompts."""

    def __init__(
        self,
        rows_a: Float[np.ndarray, "prompt position d_a"],
        rows_b: Float[np.ndarray, "prompt position d_b"],
        method: str,
        rank: int,
        device: torch.device | str,
    ) -> None:
        """Find the principal components.

        Args:
            rows_a: A's activations.
            rows_b: B's activations of the same prompts.
            method: ``procrustes`` (with one scale) or ``cca`` (whitened components).
            rank: Number of components to keep.
            device: Device for the computation.
        """
        a, b = (move(side, device) for side in (rows_a, rows_b))
        self._scaled = method == "procrustes"
        bases = []
        for side in (a, b):
            _, values, right = _decompose(side)
            lengths = values[:rank] if method == "cca" else torch.ones_like(values[:rank])
            bases.append((right[:rank], lengths))
        (self._a, self._lengths_a), (self._b, self._lengths_b) = bases
        self._scores_a = a @ self._a.T / self._lengths_a
        self._scores_b = b @ self._b.T / self._lengths_b

    def matrix(self) -> Float[np.ndarray, "d_b d_a"]:
        """Return the map's matrix."""
        identity = torch.eye(self._a.shape[-1], dtype=self._a.dtype, device=self._a.device)
        unshuffled = torch.arange(len(self._scores_a), device=self._a.device)
        matrix: np.ndarray = self._turn(identity, unshuffled[None])[0].T.cpu().numpy()
        return matrix

    def turn_with_shuffled_pairs(
        self,
        directions: Float[np.ndarray, "direction d_a"],
        shuffles: Int[np.ndarray, "shuffle prompt"],
    ) -> Float[np.ndarray, "shuffle direction d_b"]:
        """Map directions by the maps of shuffled pairs.

        Shuffles do not change principal components; only their cross-products are decomposed.
        """
        vectors, orders = _on_device_of(self._b, directions, shuffles)
        size = max(1, _BUDGET // max(1, self._scores_b.numel()))
        turned = [self._turn(vectors, part) for part in orders.split(size)]
        return torch.cat(turned).cpu().numpy()

    def _turn(
        self, vectors: Float[Tensor, "vector d_a"], orders: Int[Tensor, "shuffle prompt"]
    ) -> Float[Tensor, "shuffle vector d_b"]:
        """Map vectors by the rotation for each order of B's prompts."""
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
    """Return the rank of activations, up to single-precision rounding."""
    values = torch.linalg.svdvals(move(rows, device).flatten(0, 1))
    return int((values > RANK_TOLERANCE * values[0]).sum())


def move(rows: Float[np.ndarray, "*shape"], device: torch.device | str) -> Float[Tensor, "*shape"]:
    """Move an array to a device in double precision; the CPU replaces MPS.

    MPS lacks double precision, QR, least squares and the singular value decomposition.
    """
    target = torch.device(device)
    return torch.from_numpy(rows).double().to("cpu" if target.type == "mps" else target)


def _on_device_of(
    data: Tensor,
    directions: Float[np.ndarray, "direction d_a"],
    shuffles: Int[np.ndarray, "shuffle prompt"],
) -> tuple[Float[Tensor, "direction d_a"], Int[Tensor, "shuffle prompt"]]:
    """Move directions and shuffles to the device of the activations."""
    return move(directions, data.device), torch.from_numpy(shuffles).to(data.device)


def _decompose(data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Decompose activations by singular values, without those that are zero up to rounding."""
    left, values, right = torch.linalg.svd(data.flatten(0, 1), full_matrices=False)
    kept = values > RANK_TOLERANCE * values[0]
    return left[:, kept], values[kept], right[kept]
