"""Overlaps of subspaces refitted to clusters of pairs drawn with replacement."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from emotion_circuits.geometry.grams import (
    Groups,
    inner_products,
    nested_overlaps,
    orthonormal_in,
    principal_bases,
)
from emotion_circuits.geometry.maps import LinearMap

# Resamples of one batch, whose decompositions are held in memory together.
_BATCH = 256


def resampled_overlaps(
    differences: tuple[np.ndarray, np.ndarray],
    clusters: np.ndarray,
    fitted: LinearMap,
    *,
    size: int,
    center: bool,
    n_resamples: int,
    rng: np.random.Generator,
    device: torch.device | str,
) -> Float[np.ndarray, "resample k"]:
    """Draw clusters with replacement, as many as there are, and compare A's subspace with B's.

    Args:
        differences: Paired differences of A and B, ``[pair, d_model]`` each.
        clusters: Name of each pair's cluster; drawn clusters enter with all their pairs.
        fitted: The map from A to B.
        size: Largest k.
        center: Whether to subtract the mean difference first.
        n_resamples: Number of draws.
        rng: Random stream of the draws.
        device: Device for the decompositions.

    Returns:
        Overlaps for k = 1 to ``size``; NaN from the rank of the drawn pairs on.
    """
    overlaps = np.full((n_resamples, size), np.nan)
    if not n_resamples:
        return overlaps
    a, b = differences
    grams = inner_products(a, fitted.turn(a), b, device)
    names, codes = np.unique(clusters, return_inverse=True)
    for start in range(0, n_resamples, _BATCH):
        n = min(_BATCH, n_resamples - start)
        drawn = rng.integers(0, len(names), (n, len(names)))
        counts = np.stack([np.bincount(each, minlength=len(names)) for each in drawn])[:, codes]
        weights = torch.from_numpy(counts).to(grams.b)
        indices = torch.arange(len(codes), device=weights.device).expand(weights.shape)
        groups = Groups(indices, weights)
        left = orthonormal_in(grams.mapped, principal_bases(grams.a, groups, size, center=center))
        right = principal_bases(grams.b, groups, size, center=center)
        overlaps[start : start + n] = nested_overlaps(grams.cross, left, right).cpu().numpy()
    return overlaps
