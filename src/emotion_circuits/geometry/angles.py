"""Principal angles and overlaps of subspaces."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

# A direction depends on earlier ones if less than this share of its length is orthogonal to them.
# Activations are stored in single precision, so smaller shares are rounding errors.
RANK_TOLERANCE: Final = 1e-7
# A direction below this share of the longest is zero up to rounding in double precision.
ZERO_TOLERANCE: Final = 1e-12


def principal_angles(
    left: Float[Tensor, "k d_model"], right: Float[Tensor, "l d_model"]
) -> Float[Tensor, " angle"]:
    """Measure the principal angles between the spans of two sets of directions.

    Angles below 45° are computed from sines and others from cosines, since the arc cosine loses
    half of the digits near 0, the angle of equal subspaces.

    Args:
        left: Directions of any length, not necessarily orthogonal.
        right: Directions of the other subspace.

    Returns:
        min(k, l) angles in radians, ascending. A direction that is zero or depends on earlier ones
        counts with the angle π/2.

    Source: Björck and Golub 1973; Knyazev and Argentati 2002.
    """
    bases = [basis[:, basis.any(dim=0)] for basis in (orthonormalize(left), orthonormalize(right))]
    larger, smaller = sorted(bases, key=lambda basis: -basis.shape[1])
    products = larger.T @ smaller
    cosines = torch.linalg.svdvals(products).clamp(max=1.0)
    sines = torch.linalg.svdvals(smaller - larger @ products).flip(0).clamp(max=1.0)
    angles = torch.where(cosines**2 > 0.5, torch.asin(sines), torch.acos(cosines))
    missing = min(len(left), len(right)) - len(angles)
    return torch.cat([angles, angles.new_full((missing,), torch.pi / 2)])


def orthonormalize(
    directions: Float[Tensor, "*batch k d_model"],
) -> Float[Tensor, "*batch d_model k"]:
    """Make an orthonormal basis whose first j columns span the first j directions, for each j.

    Gram-Schmidt with each step done twice is as accurate as a QR decomposition, runs on every
    device, and shows which directions depend on earlier ones.

    Args:
        directions: Directions of any length.

    Returns:
        Columns are orthonormal; that of a direction which depends on earlier ones is zero.
    """
    basis = directions.new_zeros(*directions.shape[:-2], directions.shape[-1], directions.shape[-2])
    longest = directions.norm(dim=-1).amax(dim=-1, keepdim=True)
    for index in range(directions.shape[-2]):
        direction = directions[..., index, :]
        rest = direction
        for _ in range(2):
            inside = (basis @ (basis.mT @ rest[..., None]))[..., 0]
            rest = rest - inside
        norm = rest.norm(dim=-1, keepdim=True)
        lost = (norm <= RANK_TOLERANCE * direction.norm(dim=-1, keepdim=True)) | (
            norm <= ZERO_TOLERANCE * longest
        )
        basis[..., index] = torch.where(lost, 0.0, rest / norm.where(~lost, 1.0))
    return basis


def nested_overlaps(
    left: Float[Tensor, "*batch k d_model"], right: Float[Tensor, "k d_model"]
) -> Float[Tensor, "*batch k"]:
    """Measure the overlap of the first j directions of two sets, for each j.

    The overlap of two j-dimensional subspaces is the mean squared cosine of their principal
    angles: 1 for equal subspaces, 0 for orthogonal ones, j / d_model on average for random ones.

    Args:
        left: Directions of any length, not necessarily orthogonal.
        right: Directions of the other set.

    Returns:
        Overlaps in [0, 1] for j = 1 … k.
    """
    cosines = orthonormalize(left).mT @ orthonormalize(right)
    sums = (cosines**2).cumsum(dim=-1).cumsum(dim=-2).diagonal(dim1=-2, dim2=-1)
    sizes = torch.arange(1, sums.shape[-1] + 1, dtype=sums.dtype, device=sums.device)
    return (sums / sizes).clamp(max=1.0)


def numerical_rank(rows: Float[np.ndarray, "row d_model"]) -> int:
    """Return the rank of a matrix, up to single-precision rounding."""
    values = np.linalg.svd(rows, compute_uv=False)
    return int((values > RANK_TOLERANCE * values.max(initial=0.0)).sum())
