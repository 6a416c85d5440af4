"""Whether the directions that two models share for an emotion are that emotion's own.

Model A's subspace of an emotion, from one half of the scenarios, is compared with B's subspaces of
the same emotion and of another one, both from the other half. Neither comparison has scenarios in
common, so that the content of prompts adds to neither. On the same scenarios it would add to the
overlap with the same emotion alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from emotion_circuits.geometry.grams import (
    Bases,
    Grams,
    Groups,
    inner_products,
    nested_overlaps,
    orthonormal_in,
    principal_bases,
)
from emotion_circuits.geometry.maps import LinearMap
from emotion_circuits.geometry.overlaps import LayerPair
from emotion_circuits.prompts import halve_clusters
from emotion_circuits.seeds import rng_for

# Decompositions of one batch; more need much memory and are not faster.
_BATCH = 4096


class Against(NamedTuple):
    """An emotion's overlap with itself and with one other emotion, for k = 1 to the largest k.

    Overlaps are means over halvings and over which half is A's. They are NaN from the rank of the
    smallest half on.

    Attributes:
        own: Overlap of A's subspace, mapped into B, with B's subspace of the same emotion.
        other: Its overlap with B's subspace of the other emotion.
        own_share: ``own`` as a share of what the halves of B agree on: divided by the root of the
            overlap of B's subspaces from the two halves, or of k / d_model if that is larger. A
            direction that two emotions hold at different strengths then has equal shares.
        other_share: ``other`` as a share of what the halves of B agree on for the other emotion.
        swapped: ``own_share`` − ``other_share`` where each cluster's two emotions are exchanged
            with probability ½, in both models.
        left_out: The same without each cluster in turn, with the clusters sorted by name.
    """

    own: Float[np.ndarray, " k"]
    other: Float[np.ndarray, " k"]
    own_share: Float[np.ndarray, " k"]
    other_share: Float[np.ndarray, " k"]
    swapped: Float[np.ndarray, "swap k"]
    left_out: Float[np.ndarray, "cluster k"]


class _Pairs(NamedTuple):
    """The paired differences of all emotions in one list.

    Attributes:
        labels: Emotion of each difference.
        clusters: Index of its cluster.
        grams: Inner products.
    """

    labels: np.ndarray
    clusters: Int[np.ndarray, " row"]
    grams: Grams


def measure_specificity(
    layer: LayerPair,
    fitted: LinearMap,
    *,
    k_max: int,
    center: bool,
    n_halvings: int,
    n_swaps: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> dict[str, dict[str, Against]]:
    """Compare each emotion with each other one at one pair of layers, on disjoint halves.

    If two emotions' differences have the same distribution, whatever they share with the scenario,
    exchanging them within a cluster changes nothing: the observed difference is then one more draw
    of ``Against.swapped``. Halves and exchanges are the same in all layers.

    Args:
        layer: The two models' data.
        fitted: The map from A to B.
        k_max: Largest k.
        center: Whether to subtract the mean difference before subspaces are fitted.
        n_halvings: Number of halvings; halves share no cluster.
        n_swaps: Number of exchanges of the emotions.
        seed: Seed of halvings and exchanges.
        device: Device for the decompositions.

    Returns:
        For each emotion and each other one the comparison. Empty with fewer than two emotions,
        or if all differences are of one cluster.
    """
    emotions = [label for label in layer.emotions if len(layer.differences.get(label, ((),))[0])]
    if len(emotions) < 2:
        return {}
    clusters = np.concatenate([layer.clusters_of(emotion) for emotion in emotions])
    names, codes = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        return {}
    rows_a, rows_b = (
        np.concatenate([layer.differences[emotion][side] for emotion in emotions])
        for side in (0, 1)
    )
    labels = np.repeat(emotions, [len(layer.differences[emotion].a) for emotion in emotions])
    pairs = _Pairs(labels, codes, inner_products(rows_a, fitted.turn(rows_a), rows_b, device))
    halves = np.stack(
        [
            halve_clusters(labels.tolist(), clusters.tolist(), seed=halving_seed)
            for halving_seed in _seeds(seed, n_halvings)
        ]
    )
    exchanged = rng_for(seed, "exchanged_emotions").random((n_swaps, len(names))) < 0.5
    found: dict[str, dict[str, Against]] = {emotion: {} for emotion in emotions}
    for first, second in combinations(emotions, 2):
        both = _compare(
            pairs,
            (first, second),
            halves,
            exchanged,
            k_max=k_max,
            d_model=rows_b.shape[1],
            center=center,
        )
        found[first][second], found[second][first] = both
    return found


def _seeds(seed: int, n: int) -> list[int]:
    drawn: list[int] = rng_for(seed, "halvings_of_clusters").integers(0, 2**31, n).tolist()
    return drawn


def _compare(
    pairs: _Pairs,
    emotions: tuple[str, str],
    halves: Bool[np.ndarray, "halving row"],
    exchanged: Bool[np.ndarray, "swap cluster"],
    *,
    k_max: int,
    d_model: int,
    center: bool,
) -> tuple[Against, Against]:
    """Compare two emotions: the first with the second, and the second with the first."""
    is_second = pairs.labels == emotions[1]
    members = np.isin(pairs.labels, emotions)
    n_clusters = exchanged.shape[1]
    # The first version is the data as they are; then come exchanges; then clusters left out.
    swaps = np.concatenate([np.zeros((1, n_clusters), bool), exchanged])
    second = np.concatenate(
        [
            is_second ^ swaps[:, pairs.clusters],
            np.broadcast_to(is_second, (n_clusters, len(members))),
        ]
    )
    kept = np.concatenate(
        [
            np.broadcast_to(members, (len(swaps), len(members))),
            members & (pairs.clusters != np.arange(n_clusters)[:, None]),
        ]
    )
    sums = [
        _overlaps(pairs.grams, second[part], kept[part], halves, k_max=k_max, center=center)
        for part in _parts(len(second), 8 * len(halves))
    ]
    overlaps = np.concatenate(sums)
    # Two random subspaces agree by k / d_model; below that, ceilings are noise.
    chance = np.minimum(np.arange(1, k_max + 1) / d_model, 1.0)
    overlaps[:, :, 2:] = np.maximum(overlaps[:, :, 2:], chance)
    return _against(overlaps, 0, len(swaps)), _against(overlaps, 1, len(swaps))


def _parts(n: int, decompositions: int) -> Iterator[slice]:
    step = max(1, _BATCH // decompositions)
    return (slice(start, start + step) for start in range(0, n, step))


def _against(overlaps: Float[np.ndarray, "version emotion kind k"], index: int, n: int) -> Against:
    own, other, ceiling, ceiling_other = np.moveaxis(overlaps[:, index], 1, 0)
    own_share, other_share = own / np.sqrt(ceiling), other / np.sqrt(ceiling_other)
    differences = own_share - other_share
    return Against(
        own[0], other[0], own_share[0], other_share[0], differences[1:n], differences[n:]
    )


def _overlaps(
    grams: Grams,
    second: Bool[np.ndarray, "version row"],
    kept: Bool[np.ndarray, "version row"],
    halves: Bool[np.ndarray, "halving row"],
    *,
    k_max: int,
    center: bool,
) -> Float[np.ndarray, "version emotion kind k"]:
    """Return for both emotions the overlap with the same, with the other, and B's two ceilings."""
    sides = np.stack([halves, ~halves])
    labels = np.stack([~second & kept, second & kept])
    groups = _groups(labels[:, None, :, None] & sides[None, :, None], grams.b)
    a, b = (principal_bases(gram, groups, k_max, center=center) for gram in (grams.a, grams.b))
    a = orthonormal_in(grams.mapped, a)

    def mean_overlap(gram: Tensor, left: Bases, right: Bases) -> Float[np.ndarray, "version k"]:
        # The last three axes are version, halving and k.
        values = nested_overlaps(gram, left, right).mean(dim=-2)
        averaged: np.ndarray = values.cpu().numpy()
        return averaged

    ceilings = [mean_overlap(grams.b, _at(b, e, 0), _at(b, e, 1)) for e in (0, 1)]
    both = []
    for emotion in (0, 1):
        own, other = (
            (
                mean_overlap(grams.cross, _at(a, emotion, 0), _at(b, label, 1))
                + mean_overlap(grams.cross, _at(a, emotion, 1), _at(b, label, 0))
            )
            / 2
            for label in (emotion, 1 - emotion)
        )
        both.append(np.stack([own, other, ceilings[emotion], ceilings[1 - emotion]], axis=1))
    return np.stack(both, axis=1)


def _at(bases: Bases, emotion: int, half: int) -> Bases:
    return Bases(*(part[emotion, half] for part in bases))


def _groups(members: Bool[np.ndarray, "*group row"], like: Tensor) -> Groups:
    """List the rows of each group; groups with fewer rows than the largest have spare places."""
    most = max(1, int(members.sum(axis=-1).max()))
    order = np.argsort(~members, axis=-1, kind="stable")[..., :most]
    weights = np.take_along_axis(members, order, axis=-1)
    return Groups(torch.from_numpy(order).to(like.device), torch.from_numpy(weights).to(like))
