"""Emotion subspaces: main directions of the differences between emotion and neutral texts."""

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
        components: Directions in order of decreasing variance.
        explained_variance: Mean square along each direction (about the mean if centred, else about
            zero), with n − 1 (centred) or n in the denominator, in squared units of activations.
        explained_variance_ratio: Explained variance as a share of the total over all directions.
    """

    components: Float[np.ndarray, "k d_model"]
    explained_variance: Float[np.ndarray, " k"]
    explained_variance_ratio: Float[np.ndarray, " k"]


def paired_differences(
    pooled: PooledActivations, label: str, split: str = "train"
) -> Float[np.ndarray, "pair layer d_model"]:
    """Subtract the activations of each text's neutral partner.

    Neutral texts have no partner. Their differences are from their mean, so that the neutral
    subspace is the variation of texts without an emotion.

    Args:
        pooled: One vector per prompt and layer.
        label: One of the study's labels.
        split: Split of the prompts to use.

    Returns:
        One difference per text of the label.

    Raises:
        InputError: If a text has no neutral partner in the split.
    """
    texts = pooled.rows(label, split)
    neutral = pooled.rows(pooled.emotions.neutral, split)
    if label == pooled.emotions.neutral:
        values = pooled.values[neutral]
        centred: np.ndarray = values - values.mean(axis=0)
        return centred
    partner = {pooled.pair_ids[index]: index for index in neutral}
    for index in texts:
        if pooled.pair_ids[index] not in partner:
            raise InputError(
                f"{label} text {pooled.prompts[index][:60]!r} has no {pooled.emotions.neutral} "
                f"partner with pair_id {pooled.pair_ids[index]!r} in split {split!r}"
            )
    partners = [partner[pooled.pair_ids[index]] for index in texts]
    differences: np.ndarray = pooled.values[texts] - pooled.values[partners]
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

    Without centring, the first direction is close to the mean difference and the subspace holds
    what emotion texts share. With centring, it holds their variation around the mean difference.

    The mean difference has a positive projection on each direction; if the projection is zero,
    the largest entry of the direction is positive. Both backends thus give the same signs.

    Args:
        differences: One difference per text.
        n_components: Number of directions.
        center: Whether to subtract the mean difference first.
        backend: ``torch`` (any device) or ``sklearn``.
        device: Device for torch. MPS lacks float64 and this decomposition, and is replaced by the
            CPU.

    Returns:
        The subspace, in float64.

    Raises:
        InputError: If ``n_components`` exceeds the largest possible rank of the differences.
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
    target = torch.device(device)
    matrix = torch.from_numpy(data).to("cpu" if target.type == "mps" else target)
    _, values, components = torch.linalg.svd(matrix, full_matrices=False)
    return components[:n_components].cpu().numpy(), values[:n_components].cpu().numpy()


def _svd_sklearn(
    data: np.ndarray, n_components: int, center: bool
) -> tuple[np.ndarray, np.ndarray]:
    if center:
        fitted = PCA(n_components, svd_solver="full").fit(data)
        return fitted.components_, fitted.singular_values_
    if n_components == min(data.shape):  # ARPACK finds at most all but one
        _, values, components = np.linalg.svd(data, full_matrices=False)
        return components, values
    truncated = TruncatedSVD(n_components, algorithm="arpack", random_state=0).fit(data)
    return truncated.components_, truncated.singular_values_


def _orient(components: np.ndarray, mean: np.ndarray) -> np.ndarray:
    along = components @ mean
    scale = float(np.linalg.norm(mean)) or 1.0
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    # The sign of a projection that is zero up to rounding is arbitrary.
    signs = np.where(np.abs(along) > 1e-9 * scale, np.sign(along), np.sign(largest))
    oriented: np.ndarray = components * signs[:, None]
    return oriented
