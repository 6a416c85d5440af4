"""Principal angles between subspaces, and overlap as one number from them."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

# A direction is lost when less than this share of its length is left beside earlier ones.
# Activations are stored in single precision; what is smaller is rounding.
RANK_TOLERANCE: Final = 1e-7
# A direction this much shorter than the longest is zero but for rounding in double precision.
ZERO_TOLERANCE: Final = 1e-12


def principal_angles(
    left: Float[Tensor, "k d_model"], right: Float[Tensor, "l d_model"]
) -> Float[Tensor, " angle"]:
    """Measure the principal angles between the spans of two sets of directions.

    Angles below 45° are taken from sines and others from cosines: the arc cosine loses half of
    the digits near 0, where the answer for two equal subspaces lies.

    Args:
        left: Rows are directions; any length, not necessarily orthogonal.
        right: The same.

    Returns:
        min(k, l) angles in radians, ascending. A direction that is zero or lies in the span of
        the ones before it spans nothing, and its angle is π/2.

    Source: Björck and Golub 1973; Knyazev and Argentati 2002.
    """
    bases = [basis[:, basis.any(dim=0)] for basis in (orthonormalize(left), orthonormalize(right))]
    larger, smaller = sorted(bases, key=lambda basis: -basis.shape[1])
    products = larger.T @ smaller
    cosines = torch.linalg.svdvals(products).clamp(max=1.0)
    sines = torch.linalg.svdvals(smaller - larger @ products).flip(0).clamp(max=1.0)
    found = torch.where(cosines**2 > 0.5, torch.asin(sines), torch.acos(cosines))
    missing = min(len(left), len(right)) - len(found)
    return torch.cat([found, found.new_full((missing,), torch.pi / 2)])


def orthonormalize(
    directions: Float[Tensor, "*batch k d_model"],
) -> Float[Tensor, "*batch d_model k"]:
    """Make an orthonormal basis whose first j columns span the first j directions, for each j.

    Gram-Schmidt, each step done twice, which is as accurate as a QR decomposition, needs no
    decomposition that a device may lack, and shows where a direction adds nothing.

    Args:
        directions: Rows are directions.

    Returns:
        Columns are orthonormal, or zero where a direction adds nothing to those before it.
    """
    basis = directions.new_zeros(*directions.shape[:-2], directions.shape[-1], directions.shape[-2])
    longest = directions.norm(dim=-1).amax(dim=-1, keepdim=True)
    for place in range(directions.shape[-2]):
        given = directions[..., place, :]
        rest = given
        for _ in range(2):
            inside = (basis @ (basis.mT @ rest[..., None]))[..., 0]
            rest = rest - inside
        norm = rest.norm(dim=-1, keepdim=True)
        lost = (norm <= RANK_TOLERANCE * given.norm(dim=-1, keepdim=True)) | (
            norm <= ZERO_TOLERANCE * longest
        )
        basis[..., place] = torch.where(lost, 0.0, rest / norm.where(~lost, 1.0))
    return basis


def nested_overlaps(
    left: Float[Tensor, "*batch k d_model"], right: Float[Tensor, "k d_model"]
) -> Float[Tensor, "*batch k"]:
    """Overlap of the first j directions of one set with the first j of another, for each j.

    The overlap of two j-dimensional subspaces is the mean of the squared cosines of their
    principal angles: 1 for equal subspaces, 0 for orthogonal ones, j / d_model on average for
    subspaces that have nothing to do with each other.

    Args:
        left: Rows are directions; any length, not necessarily orthogonal.
        right: The same.

    Returns:
        Overlaps in [0, 1] for j = 1 … k.
    """
    cosines = orthonormalize(left).mT @ orthonormalize(right)
    sums = (cosines**2).cumsum(dim=-1).cumsum(dim=-2).diagonal(dim1=-2, dim2=-1)
    sizes = torch.arange(1, sums.shape[-1] + 1, dtype=sums.dtype, device=sums.device)
    return (sums / sizes).clamp(max=1.0)


def numerical_rank(rows: Float[np.ndarray, "row d_model"]) -> int:
    """Count the independent directions among rows, up to single-precision rounding."""
    values = np.linalg.svd(rows, compute_uv=False)
    return int((values > RANK_TOLERANCE * values.max(initial=0.0)).sum())
