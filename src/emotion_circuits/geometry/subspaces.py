"""Emotion subspaces: the directions along which an emotion's texts differ from their partners."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA, TruncatedSVD

from emotion_circuits.errors import InputError
from emotion_circuits.geometry.directions import PooledActivations

Backend = Literal["torch", "sklearn"]


class Subspace(NamedTuple):
    """Orthonormal directions with the variance along each.

    Attributes:
        components: Rows are directions, the one of most variance first.
        explained_variance: Mean square along each (about the mean if centred, else about zero),
            with n − 1 (centred) or n in the denominator, in squared units of the activations.
        explained_variance_ratio: The same as a share of the total over all directions.
    """

    components: Float[np.ndarray, "k d_model"]
    explained_variance: Float[np.ndarray, " k"]
    explained_variance_ratio: Float[np.ndarray, " k"]


def paired_differences(
    pooled: PooledActivations, label: str, split: str = "train"
) -> Float[np.ndarray, "pair layer d_model"]:
    """Subtract each text's neutral partner from it.

    For the neutral class itself there is no partner: its texts are given minus their mean, so that
    its subspace is the variation that texts have without any emotion.

    Args:
        pooled: One vector per prompt and layer.
        label: One of the study's labels.
        split: Which prompts to use.

    Returns:
        One difference per text of the label.

    Raises:
        InputError: If a text has no neutral partner in the split.
    """
    rows = pooled.rows(label, split)
    neutral = pooled.rows(pooled.emotions.neutral, split)
    if label == pooled.emotions.neutral:
        values = pooled.values[neutral]
        centred: np.ndarray = values - values.mean(axis=0)
        return centred
    partner = {pooled.pair_ids[row]: row for row in neutral}
    for row in rows:
        if pooled.pair_ids[row] not in partner:
            raise InputError(
                f"{label} text {pooled.prompts[row][:60]!r} has no {pooled.emotions.neutral} "
                f"partner with pair_id {pooled.pair_ids[row]!r} in split {split!r}"
            )
    partners = [partner[pooled.pair_ids[row]] for row in rows]
    differences: np.ndarray = pooled.values[rows] - pooled.values[partners]
    return differences


def fit_subspace(
    differences: Float[np.ndarray, "sample d_model"],
    *,
    n_components: int,
    center: bool = False,
    backend: Backend = "torch",
    device: torch.device | str = "cpu",
) -> Subspace:
    """Find the directions of most variance by a singular value decomposition.

    Uncentred, the first direction is close to the mean difference, and the subspace holds what
    emotion texts share; centred, it holds only how they vary around it.

    Each direction points to where the mean difference projects positively, or, where that is
    zero, to where its largest entry is positive. Both backends thereby give the same signs.

    Args:
        differences: One row per text.
        n_components: How many directions.
        center: Whether to subtract the mean difference first.
        backend: ``torch`` (any device) or ``sklearn``.
        device: Where torch decomposes; MPS has neither float64 nor this decomposition and is
            replaced by the CPU.

    Returns:
        The subspace, in float64.

    Raises:
        InputError: If there are fewer independent rows than directions asked for.
    """
    n_samples, d_model = differences.shape
    most = min(n_samples - int(center), d_model)
    if n_components > most:
        raise InputError(
            f"n_components is {n_components}; {n_samples} texts of width {d_model} allow at most "
            f"{most} ({'centred' if center else 'not centred'})"
        )
    mean = differences.mean(axis=0)
    data = differences - mean if center else differences
    if backend == "torch":
        components, values = _svd_torch(data, n_components, device)
    else:
        components, values = _svd_sklearn(data, n_components, center)
    samples = n_samples - int(center)
    variance = values**2 / samples
    total = float((data**2).sum()) / samples
    ratio = variance / total if total > 0 else np.zeros_like(variance)
    return Subspace(_orient(components, mean), variance, ratio)


def _svd_torch(
    data: np.ndarray, n_components: int, device: torch.device | str
) -> tuple[np.ndarray, np.ndarray]:
    place = torch.device(device)
    matrix = torch.from_numpy(data).to("cpu" if place.type == "mps" else place)
    _, values, components = torch.linalg.svd(matrix, full_matrices=False)
    return components[:n_components].cpu().numpy(), values[:n_components].cpu().numpy()


def _svd_sklearn(
    data: np.ndarray, n_components: int, center: bool
) -> tuple[np.ndarray, np.ndarray]:
    if center:
        fitted = PCA(n_components, svd_solver="full").fit(data)
        return fitted.components_, fitted.singular_values_
    if n_components == min(data.shape):  # ARPACK finds all directions but one
        _, values, components = np.linalg.svd(data, full_matrices=False)
        return components, values
    truncated = TruncatedSVD(n_components, algorithm="arpack", random_state=0).fit(data)
    return truncated.components_, truncated.singular_values_


def _orient(components: np.ndarray, mean: np.ndarray) -> np.ndarray:
    along = components @ mean
    scale = float(np.linalg.norm(mean)) or 1.0
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    # A projection that is zero but for rounding has no sign to go by.
    signs = np.where(np.abs(along) > 1e-9 * scale, np.sign(along), np.sign(largest))
    oriented: np.ndarray = components * signs[:, None]
    return oriented
