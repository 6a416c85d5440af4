"""Overlap of two models' emotion subspaces, before and after a map between the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from emotion_circuits.geometry import angles, angles_oracle, maps_torch
from emotion_circuits.geometry.canonical import principal_basis
from emotion_circuits.geometry.maps import LinearMap, MapOptions, turn_with_shuffled_pairs
from emotion_circuits.geometry.resampling import resampled_overlaps
from emotion_circuits.geometry.subspaces import fit_subspace
from emotion_circuits.prompts import halve_clusters
from emotion_circuits.seeds import rng_for


class Both(NamedTuple):
    """An array for each of two models.

    Attributes:
        a: Array of model A, which is mapped into B.
        b: Array of model B.
    """

    a: np.ndarray
    b: np.ndarray


@dataclass(frozen=True)
class LayerPair:
    """Data of two models at a pair of matched layers.

    Attributes:
        neutral: Training activations of neutral prompts, ``[prompt, position, d_model]``.
        differences: For each label, the held-out paired differences, ``[pair, d_model]``, with
            pairs in the same order for both models.
        trained: For each label, the subspaces that phase 3 fitted on training prompts.
        emotions: The labels that are emotions; each emotion is also compared with the others.
        clusters: For each label, the cluster of each pair. A label that is missing has pairs that
            are clusters of their own, and share them with the same pairs of other labels.
    """

    neutral: Both
    differences: Mapping[str, Both]
    trained: Mapping[str, Both]
    emotions: tuple[str, ...]
    clusters: Mapping[str, np.ndarray] = field(default_factory=dict)

    def clusters_of(self, label: str) -> np.ndarray:
        """Return the name of each pair's cluster."""
        if label in self.clusters:
            return self.clusters[label].astype(str)
        return np.array([f"{index:06d}" for index in range(len(self.differences[label].b))])


class Overlaps(NamedTuple):
    """Overlaps of one label's subspaces at one pair of layers, for k = 1 to the largest k.

    Attributes:
        before: Overlap without a map: in the models' own coordinates if both have the same
            d_model, else in principal components of neutral activations, matched by rank.
        after: Overlap of A's subspace, mapped into B, with B's.
        mean_angle: Mean principal angle after mapping, in radians.
        null: ``after`` under maps of shuffled pairs.
        resampled: ``after`` with both subspaces fitted to clusters of held-out pairs drawn with
            replacement; NaN if a draw spans fewer directions.
        split: Overlap of A's subspace (first half of the clusters, mapped into B) with B's (second
            half).
        ceiling: Overlap of B's subspaces from the two halves of the clusters.
        other: Mean overlap of A's mapped subspace with B's subspaces of the other emotions.
        trained: ``after`` for the subspaces of phase 3.
        chance: Mean overlap of random subspaces in B.
        chance_before: Mean overlap of random subspaces in the space of ``before``.
    """

    before: Float[np.ndarray, " k"]
    after: Float[np.ndarray, " k"]
    mean_angle: Float[np.ndarray, " k"]
    null: Float[np.ndarray, "shuffle k"]
    resampled: Float[np.ndarray, "resample k"]
    split: Float[np.ndarray, " k"]
    ceiling: Float[np.ndarray, " k"]
    other: Float[np.ndarray, " k"]
    trained: Float[np.ndarray, " k"]
    chance: Float[np.ndarray, " k"]
    chance_before: Float[np.ndarray, " k"]


def measure_overlaps(
    layer: LayerPair,
    fitted: LinearMap,
    shuffles: Int[np.ndarray, "shuffle prompt"],
    *,
    k_max: int,
    center: bool,
    n_splits: int,
    n_resamples: int,
    seed: int,
    options: MapOptions,
) -> dict[str, Overlaps]:
    """Compare the subspaces of each label at one pair of layers.

    Args:
        layer: The two models' data.
        fitted: The map from A to B.
        shuffles: For each shuffle, the index of B's neutral prompt that is paired with each of A.
        k_max: Largest k; it is smaller for a label whose pairs span fewer directions.
        center: Whether to subtract the mean difference before subspaces are fitted.
        n_splits: Number of random halvings of the pairs; halves share no cluster.
        n_resamples: Number of bootstrap draws of the clusters, shared by all layers and labels.
        seed: Seed of halvings and draws.
        options: Options that the map was learned with.

    Returns:
        Overlaps for each label; a label whose differences are all zero is left out.
    """
    spans = {}
    for label, differences in layer.differences.items():
        size = min(k_max, *(_rank(side, center) for side in differences))
        if size:
            spans[label] = Both(*(_span(side, size, center, options) for side in differences))
    if not spans:
        return {}
    stacked = np.concatenate([span.a for span in spans.values()])
    shuffled = turn_with_shuffled_pairs(
        *layer.neutral, stacked, shuffles, fitted=fitted, options=options
    )
    overlaps, start = {}, 0
    for label, span in spans.items():
        stop = start + len(span.a)
        turned = fitted.turn(span.a)
        before, room = _before(span, layer.neutral, options)
        split, ceiling = _split_halves(
            layer.differences[label],
            layer.clusters_of(label),
            fitted,
            size=len(span.a),
            center=center,
            rng=rng_for(seed, "halves_of_pairs", label),
            n_splits=n_splits,
            options=options,
        )
        sizes = np.arange(1, len(span.a) + 1)
        overlaps[label] = Overlaps(
            before=before,
            after=overlaps_of(turned, span.b, options),
            mean_angle=mean_angles_of(turned, span.b, options),
            null=overlaps_of(shuffled[:, start:stop], span.b, options),
            resampled=resampled_overlaps(
                layer.differences[label],
                layer.clusters_of(label),
                fitted,
                size=len(span.a),
                center=center,
                n_resamples=n_resamples,
                # Labels with equally many clusters share the draws.
                rng=rng_for(seed, "resampled_pairs"),
                device=options.device,
            ),
            split=split,
            ceiling=ceiling,
            other=_with_others(label, turned, spans, layer.emotions, options),
            trained=_trained(layer.trained.get(label), fitted, len(span.a), options),
            chance=sizes / span.b.shape[1],
            chance_before=np.minimum(sizes / room, 1.0),
        )
        start = stop
    return overlaps


def overlaps_of(
    left: Float[np.ndarray, "*batch k d_model"],
    right: Float[np.ndarray, "k d_model"],
    options: MapOptions,
) -> Float[np.ndarray, "*batch k"]:
    """Return the overlap of the first j directions, for j = 1 … k, by the chosen backend."""
    if options.backend == "numpy":
        flat = left.reshape(-1, *left.shape[-2:])
        overlaps = np.stack([angles_oracle.nested_overlaps(each, right) for each in flat])
        return overlaps.reshape(left.shape[:-1])
    device = options.device
    moved = angles.nested_overlaps(maps_torch.move(left, device), maps_torch.move(right, device))
    return moved.cpu().numpy()


def mean_angles_of(
    left: Float[np.ndarray, "k d_model"],
    right: Float[np.ndarray, "k d_model"],
    options: MapOptions,
) -> Float[np.ndarray, " k"]:
    """Return the mean principal angle of the first j directions, in radians, for j = 1 … k."""
    sizes = range(1, len(left) + 1)
    if options.backend == "numpy":
        return np.array(
            [angles_oracle.principal_angles(left[:size], right[:size]).mean() for size in sizes]
        )
    first, second = (maps_torch.move(side, options.device) for side in (left, right))
    return np.array(
        [float(angles.principal_angles(first[:size], second[:size]).mean()) for size in sizes]
    )


def _rank(differences: np.ndarray, center: bool) -> int:
    data = differences - differences.mean(axis=0) if center else differences
    # Centring reduces the largest rank by one, which rounding errors could hide.
    return min(angles.numerical_rank(data), len(data) - int(center))


def _span(differences: np.ndarray, size: int, center: bool, options: MapOptions) -> np.ndarray:
    return fit_subspace(
        differences,
        n_components=size,
        center=center,
        backend="torch" if options.backend == "torch" else "sklearn",
        device=torch.device(options.device),
    ).components


def _before(span: Both, neutral: Both, options: MapOptions) -> tuple[np.ndarray, int]:
    """Return the overlap without a map, and the dimension of the space it was measured in."""
    width_a, width_b = (side.shape[1] for side in span)
    if width_a == width_b:
        return overlaps_of(span.a, span.b, options), width_a
    bases = []
    for side in neutral:
        centred = (side - side.mean(axis=0)).reshape(-1, side.shape[-1])
        components = principal_basis(centred, whiten=False).components
        largest = np.abs(components).argmax(axis=1)
        bases.append(components * np.sign(components[np.arange(len(components)), largest])[:, None])
    room = min(len(basis) for basis in bases)
    first, second = (side @ basis[:room].T for side, basis in zip(span, bases, strict=True))
    return overlaps_of(first, second, options), room


def _split_halves(
    differences: Both,
    clusters: np.ndarray,
    fitted: LinearMap,
    *,
    size: int,
    center: bool,
    rng: np.random.Generator,
    n_splits: int,
    options: MapOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``Overlaps.split`` and ``Overlaps.ceiling``, averaged over random halvings."""
    split, ceiling = np.full((2, n_splits, size), np.nan)
    for draw, seed in enumerate(rng.integers(0, 2**31, n_splits).tolist()):
        first_half = halve_clusters([""] * len(clusters), clusters.tolist(), seed=seed)
        half_1, half_2 = np.flatnonzero(first_half), np.flatnonzero(~first_half)
        halves = [differences.a[half_1], differences.b[half_1], differences.b[half_2]]
        if not len(half_1):
            continue
        kept = min(size, *(_rank(half, center) for half in halves))
        if kept < 1:
            continue
        first, own, second = (_span(half, kept, center, options) for half in halves)
        split[draw, :kept] = overlaps_of(fitted.turn(first), second, options)
        ceiling[draw, :kept] = overlaps_of(own, second, options)
    return _column_means(split), _column_means(ceiling)


def _column_means(values: np.ndarray) -> np.ndarray:
    """Average over the first axis without NaN; NaN where all values are NaN."""
    count = (~np.isnan(values)).sum(axis=0)
    means: np.ndarray = np.where(
        count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan
    )
    return means


def _with_others(
    label: str,
    turned: np.ndarray,
    spans: Mapping[str, Both],
    emotions: tuple[str, ...],
    options: MapOptions,
) -> np.ndarray:
    overlaps = np.full((len(emotions), len(turned)), np.nan)
    for index, other in enumerate(emotions):
        if other != label and other in spans:
            kept = min(len(turned), len(spans[other].b))
            overlaps[index, :kept] = overlaps_of(turned[:kept], spans[other].b[:kept], options)
    return _column_means(overlaps)


def _trained(
    subspaces: Both | None, fitted: LinearMap, size: int, options: MapOptions
) -> np.ndarray:
    overlaps = np.full(size, np.nan)
    if subspaces is not None:
        kept = min(size, *(len(side) for side in subspaces))
        turned = fitted.turn(subspaces.a[:kept])
        overlaps[:kept] = overlaps_of(turned, subspaces.b[:kept], options)
    return overlaps
