"""Subspaces of many groups of rows at once, by inner products of the rows alone.

A group is a weighted set of rows, such as the paired differences of one emotion in one half of the
prompts. Its principal directions are combinations of its rows, so that overlaps between groups
need the rows' inner products only. These are computed once; the cost of a further group does not
depend on d_model.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.geometry.maps_torch import move

# Inner products are squares of lengths: a direction below 1e-6 of the longest is zero up to
# rounding.
_RANK_TOLERANCE: Final = 1e-12


class Grams(NamedTuple):
    """Inner products of the rows of two models, A and B; A's rows are also mapped into B.

    Attributes:
        a: Of A's rows.
        mapped: Of A's mapped rows.
        cross: Of A's mapped rows with B's rows.
        b: Of B's rows.
    """

    a: Float[Tensor, "row row"]
    mapped: Float[Tensor, "row row"]
    cross: Float[Tensor, "row row"]
    b: Float[Tensor, "row row"]


class Groups(NamedTuple):
    """Groups of rows, all with the same number of places; spare places have the weight 0.

    Attributes:
        rows: Index of the row at each place.
        weights: Its weight, such as the number of times that a resample drew it.
    """

    rows: Int[Tensor, "*group place"]
    weights: Float[Tensor, "*group place"]


class Bases(NamedTuple):
    """Orthonormal bases whose first j directions are a group's first j principal directions.

    Attributes:
        rows: As in ``Groups``.
        coefficients: Each direction as a combination of the group's rows; 0 from the rank on.
        rank: Number of directions that the group's rows span, at most k.
    """

    rows: Int[Tensor, "*group place"]
    coefficients: Float[Tensor, "*group k place"]
    rank: Int[Tensor, "*group"]


def inner_products(
    rows_a: Float[np.ndarray, "row d_a"],
    mapped: Float[np.ndarray, "row d_b"],
    rows_b: Float[np.ndarray, "row d_b"],
    device: torch.device | str,
) -> Grams:
    """Compute the inner products of the same texts' rows in both models."""
    a, turned, b = (move(side, device) for side in (rows_a, mapped, rows_b))
    return Grams(a @ a.T, turned @ turned.T, turned @ b.T, b @ b.T)


def principal_bases(
    gram: Float[Tensor, "row row"], groups: Groups, k: int, *, center: bool
) -> Bases:
    """Find the first k principal directions of each group, as ``fit_subspace`` defines them.

    Args:
        gram: Inner products of the rows.
        groups: The groups.
        k: Number of directions.
        center: Whether to subtract each group's weighted mean first.
    """
    weights = groups.weights
    scale = torch.diag_embed(weights.sqrt())
    if center:
        share = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-300)
        scale = scale - weights.sqrt()[..., :, None] * share[..., None, :]
        own = scale @ gram[groups.rows[..., :, None], groups.rows[..., None, :]] @ scale.mT
    else:
        root = weights.sqrt()
        own = gram[groups.rows[..., :, None], groups.rows[..., None, :]]
        own = own * root[..., :, None] * root[..., None, :]
    values, vectors = torch.linalg.eigh(own)
    k_kept = min(k, values.shape[-1])
    values, vectors = values.flip(-1)[..., :k_kept], vectors.flip(-1)[..., :k_kept]
    known = values > _RANK_TOLERANCE * values[..., :1].clamp(min=0.0)
    lengths = torch.where(known, values, torch.inf).sqrt()
    coefficients = (vectors / lengths[..., None, :]).mT
    coefficients = coefficients @ scale if center else coefficients * root[..., None, :]
    if k_kept < k:
        spare = coefficients.new_zeros(*coefficients.shape[:-2], k - k_kept, coefficients.shape[-1])
        coefficients = torch.cat([coefficients, spare], dim=-2)
    return Bases(groups.rows, coefficients, known.sum(dim=-1))


def orthonormal_in(gram: Float[Tensor, "row row"], bases: Bases) -> Bases:
    """Make the directions orthonormal with other inner products, such as those of mapped rows.

    The first j directions keep their span. A direction that depends on earlier ones becomes 0; it
    counts with the rank, as a right angle.
    """
    inner = gram[bases.rows[..., :, None], bases.rows[..., None, :]]
    products = bases.coefficients @ inner @ bases.coefficients.mT
    k = products.shape[-1]
    turned = torch.zeros_like(products)
    identity = torch.eye(k, dtype=products.dtype, device=products.device)
    longest = products.diagonal(dim1=-2, dim2=-1).amax(dim=-1)
    for index in range(k):
        rest = identity[index].expand(products.shape[:-1]).clone()
        for _ in range(2):  # twice is as accurate as a QR decomposition
            inside = turned @ (products @ rest[..., None])
            rest = rest - (turned.mT @ inside)[..., 0]
        square = (rest[..., None, :] @ products @ rest[..., None])[..., 0, 0]
        own = products[..., index, index]
        lost = (square <= _RANK_TOLERANCE * own) | (square <= _RANK_TOLERANCE * longest)
        turned[..., index, :] = torch.where(
            lost[..., None], 0.0, rest / square.where(~lost, 1.0).sqrt()[..., None]
        )
    return bases._replace(coefficients=turned @ bases.coefficients)


def nested_overlaps(
    gram: Float[Tensor, "row row"], left: Bases, right: Bases
) -> Float[Tensor, "*group k"]:
    """Measure the overlap of the first j directions of two bases, for each j.

    Args:
        gram: Inner products of the left bases' rows with the right bases' rows.
        left: Bases, orthonormal in their own inner products.
        right: As many bases, likewise.

    Returns:
        Overlaps in [0, 1]; NaN from the smaller of the two ranks on.
    """
    inner = gram[left.rows[..., :, None], right.rows[..., None, :]]
    cosines = left.coefficients @ inner @ right.coefficients.mT
    sums = (cosines**2).cumsum(dim=-1).cumsum(dim=-2).diagonal(dim1=-2, dim2=-1)
    sizes = torch.arange(1, sums.shape[-1] + 1, dtype=sums.dtype, device=sums.device)
    least = torch.minimum(left.rank, right.rank)[..., None]
    return torch.where(sizes <= least, (sums / sizes).clamp(max=1.0), torch.nan)
