"""The data of a pair of models, with the same prompts in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from emotion_circuits.errors import InputError
from emotion_circuits.geometry import PooledActivations, paired_differences, pool_positions
from emotion_circuits.geometry.layers import check_layer_pairs, match_layers
from emotion_circuits.geometry.overlaps import Both, LayerPair
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.statistics.clusters import number_clusters

Phase = Mapping[str, Any]


class LabelledRows(NamedTuple):
    """A model's activations of the prompts of an emotion and of others.

    Attributes:
        values: One activation per prompt.
        positive: Whether each prompt is of the emotion.
        clusters: Number of each prompt's cluster; None if each is its own.
    """

    values: Float[np.ndarray, "prompt d_b"]
    positive: Bool[np.ndarray, " prompt"]
    clusters: Int[np.ndarray, " prompt"] | None


@dataclass(frozen=True)
class ModelPair:
    """Pooled activations, emotion vectors and subspaces of two models on the same prompts.

    Attributes:
        pooled: Activations of A and B, pooled as for the emotion vectors.
        for_map: Activations of A and B for each pooled position that the map is learned on.
        vectors: Phase 3's emotion vectors of A and B.
        subspaces: Phase 3's subspaces of A and B.
        layers: Matched layers (of A, of B).
        emotions: The study's emotions.
    """

    pooled: tuple[PooledActivations, PooledActivations]
    for_map: tuple[tuple[PooledActivations, PooledActivations], ...]
    vectors: tuple[Phase, Phase]
    subspaces: tuple[Phase, Phase]
    layers: tuple[tuple[int, int], ...]
    emotions: EmotionSet

    def neutral(self, layers: tuple[int, int], split: str) -> Both:
        """Return activations of the neutral prompts of a split, ``[prompt, position, d_model]``."""
        sides = [
            np.stack(
                [_at(p[side], layer, self.emotions.neutral, split) for p in self.for_map], axis=1
            )
            for side, layer in enumerate(layers)
        ]
        return Both(*sides)

    def held_out(self, layers: tuple[int, int]) -> LayerPair:
        """Return the data to compare at a pair of matched layers."""
        differences, trained, clusters = {}, {}, {}
        for label in self.emotions.labels:
            if not len(self.pooled[0].rows(label, "test")):
                continue
            # Sorted by scenario, so that results do not depend on the order of prompts.
            indices = self.pooled[0].rows(label, "test")
            order = np.argsort(self.pooled[0].pair_ids[indices], kind="stable")
            clusters[label] = self.pooled[0].clusters_at(indices[order])
            differences[label] = Both(
                *(
                    paired_differences(pooled, label, "test")[
                        order, pooled.layer_indices.index(layer)
                    ]
                    for pooled, layer in zip(self.pooled, layers, strict=True)
                )
            )
            trained[label] = Both(
                *(
                    phase["subspaces"][label][layer]["components"]
                    for phase, layer in zip(self.subspaces, layers, strict=True)
                )
            )
        return LayerPair(
            self.neutral(layers, "train"), differences, trained, self.emotions.names, clusters
        )

    def emotion_vectors(self, layers: tuple[int, int], emotion: str) -> Both:
        """Return phase 3's vectors of an emotion at a pair of matched layers."""
        return Both(
            *(
                phase["emotion_vectors"][emotion][phase["metadata"]["layer_indices"].index(layer)]
                for phase, layer in zip(self.vectors, layers, strict=True)
            )
        )

    def emotion_rows(self, layer_b: int, emotion: str, against: Sequence[str]) -> LabelledRows:
        """Return B's held-out activations of an emotion and of other labels."""
        pooled = self.pooled[1]
        by_label = [pooled.rows(label, "test") for label in (emotion, *against)]
        indices = np.concatenate(by_label)
        return LabelledRows(
            pooled.values[indices, pooled.layer_indices.index(layer_b)],
            np.arange(len(indices)) < len(by_label[0]),
            number_clusters(pooled.clusters_at(indices).tolist()),
        )


def pair_models(
    activations: tuple[Phase, Phase],
    vectors: tuple[Phase, Phase],
    subspaces: tuple[Phase, Phase],
    emotions: EmotionSet,
    *,
    map_positions: Sequence[str],
    layer_matching: str | Sequence[tuple[int, int]],
) -> ModelPair:
    """Combine the results of two models.

    Hook point and position are those of the emotion vectors. Prompts are sorted by text, so that
    results do not depend on the order in which they were captured.

    Args:
        activations: Phase 2's results of A and B.
        vectors: Phase 3's vectors of A and B.
        subspaces: Phase 3's subspaces of A and B.
        emotions: The study's emotions.
        map_positions: Position strategies that the map is learned on.
        layer_matching: ``relative_depth``, or pairs (layer of A, layer of B).

    Returns:
        The pair.

    Raises:
        InputError: If the models were not captured on the same prompts, their vectors were not
            measured in the same way, no emotion has test prompts, or a layer is missing.
    """
    _check_same_prompts(*activations)
    hook_point, position = (_check_same(vectors, key) for key in ("hook_pos", "position_strategy"))
    _check_same(subspaces, "center")
    kept = [list(phase["metadata"]["layer_indices"]) for phase in vectors]
    depths = [phase["metadata"]["n_layers"] for phase in activations]

    def pool(strategy: str) -> tuple[PooledActivations, PooledActivations]:
        first, second = (
            _in_order(
                pool_positions(
                    phase, emotions, hook_point=hook_point, strategy=strategy, layers=known
                )
            )
            for phase, known in zip(activations, kept, strict=True)
        )
        return first, second

    pooled = pool(position)
    if not any(len(pooled[0].rows(emotion, "test")) for emotion in emotions.names):
        raise InputError("no emotion has prompts in split 'test'; overlaps are held-out")
    if isinstance(layer_matching, str):
        matched = match_layers(*kept, n_layers_a=depths[0], n_layers_b=depths[1])
    else:
        matched = check_layer_pairs(layer_matching, *kept)
    return ModelPair(
        pooled=pooled,
        for_map=tuple(pooled if name == position else pool(name) for name in map_positions),
        vectors=vectors,
        subspaces=subspaces,
        layers=tuple(matched),
        emotions=emotions,
    )


def _at(pooled: PooledActivations, layer: int, label: str, split: str) -> np.ndarray:
    indices = pooled.rows(label, split)
    values: np.ndarray = pooled.values[indices, pooled.layer_indices.index(layer)]
    return values


def _in_order(pooled: PooledActivations) -> PooledActivations:
    keys = zip(pooled.prompts, pooled.labels, pooled.pair_ids, strict=True)
    order = [index for _, index in sorted((key, index) for index, key in enumerate(keys))]
    return replace(
        pooled,
        values=pooled.values[order],
        labels=pooled.labels[order],
        pair_ids=pooled.pair_ids[order],
        splits=pooled.splits[order],
        prompts=pooled.prompts[order],
        clusters=None if pooled.clusters is None else pooled.clusters[order],
    )


def _check_same_prompts(first: Phase, second: Phase) -> None:
    names = f"{first['model_name']} and {second['model_name']}"
    advice = "capture both on the same dataset (phase activations)"
    counts = [len(phase["prompts"]) for phase in (first, second)]
    if counts[0] != counts[1]:
        raise InputError(f"{names} were captured on {counts[0]} and {counts[1]} prompts; {advice}")
    for key in ("prompts", "labels", "pair_ids", "splits"):
        for index, (a, b) in enumerate(zip(first[key], second[key], strict=True)):
            if a != b:
                raise InputError(
                    f"{names} were captured on different prompts: {key}[{index}] is "
                    f"{str(a)[:60]!r} and {str(b)[:60]!r}; {advice}"
                )


def _check_same(phases: tuple[Phase, Phase], key: str) -> Any:
    first, second = (phase["metadata"][key] for phase in phases)
    if first != second:
        names = " and ".join(phase["metadata"]["model_name"] for phase in phases)
        raise InputError(
            f"emotion vectors or subspaces of {names} have {key} {first!r} and {second!r}; "
            "compute both with the same parameters (phase emotion_vectors)"
        )
    return first
