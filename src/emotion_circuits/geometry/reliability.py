"""Reliability of emotion vectors: how far two halves of the prompts give the same vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.geometry.directions import PooledActivations, Vectors, emotion_vectors
from emotion_circuits.prompts import halve_clusters
from emotion_circuits.seeds import rng_for

N_HALVINGS: Final = 20


class Reliability(NamedTuple):
    """Agreement of one emotion's vectors from disjoint halves of the training prompts.

    Attributes:
        cosine: Cosine between the vectors of the two halves, averaged over halvings.
        reliability: Spearman–Brown correction of ``cosine`` to all prompts.
    """

    cosine: Float[np.ndarray, " layer"]
    reliability: Float[np.ndarray, " layer"]


def split_half_reliability(
    pooled: PooledActivations,
    *,
    seed: int,
    n_halvings: int = N_HALVINGS,
    fit: Callable[[PooledActivations], Vectors] = emotion_vectors,
) -> dict[str, Reliability]:
    """Compare emotion vectors from two halves of the training prompts that share no cluster.

    Args:
        pooled: One vector per prompt and layer.
        seed: Seed of the halvings.
        n_halvings: Number of halvings to average over.
        fit: Computes the vectors from training prompts.

    Returns:
        For each emotion its reliability at each layer. It is NaN if a label is missing in a half,
        and the correction is NaN where the mean cosine is not positive.

    Source: Spearman 1910; Brown 1910 (reliability of twice the length: 2 r / (1 + r)).
    """
    train = np.flatnonzero(pooled.splits == "train")
    labels = pooled.labels[train]
    missing = np.full(pooled.values.shape[1:], np.nan)
    clusters = pooled.clusters_at(train).tolist()
    cosines: dict[str, list[np.ndarray]] = {emotion: [] for emotion in pooled.emotions.names}
    for draw in rng_for(seed, "halves_of_vectors").integers(0, 2**31, n_halvings).tolist():
        first = halve_clusters(labels.tolist(), clusters, seed=draw)
        halves = [
            fit(pooled.select(train[half]))
            if set(labels[half]) >= set(pooled.emotions.labels)
            else dict.fromkeys(pooled.emotions.names, missing)
            for half in (first, ~first)
        ]
        for emotion in pooled.emotions.names:
            left, right = (half[emotion] for half in halves)
            norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
            cosines[emotion].append(
                (left * right).sum(axis=-1) / np.where(norms > 0, norms, np.nan)
            )
    found = {}
    for emotion, drawn in cosines.items():
        mean = np.mean(drawn, axis=0)
        positive = np.where(mean > 0, mean, np.nan)
        found[emotion] = Reliability(mean, 2 * positive / (1 + positive))
    return found


def corrected_cosine(
    cosine: float | Float[np.ndarray, "*some"],
    reliability_a: float | Float[np.ndarray, "*some"],
    reliability_b: float | Float[np.ndarray, "*some"],
) -> Float[np.ndarray, "*some"]:
    """Correct a cosine for the attenuation by noise in both vectors: c / √(r_a r_b).

    The correction assumes that the noise of the two vectors is independent. Vectors of two emotions
    share the noise of their neutral mean, and vectors of two layers or models that of their
    prompts; the corrected value is then too far from 0, and may exceed 1.

    Source: correction for attenuation, Spearman 1904, doi:10.2307/1412159.
    """
    corrected: np.ndarray = np.asarray(cosine / np.sqrt(reliability_a * reliability_b))
    return corrected
