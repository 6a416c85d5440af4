"""Directions of a steering experiment: emotion vectors, and controls without an emotion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.geometry import PooledActivations, pool_positions
from emotion_circuits.geometry.cosines import cosine
from emotion_circuits.prompts import EmotionSet

Vectors = dict[tuple[str, int], np.ndarray]  # by emotion and layer


class Control(NamedTuple):
    """A random direction that an emotion vector is compared with.

    Attributes:
        direction: The direction, of the emotion vector's length.
        seed: Seed of the random draw.
        own_norm: Length of the direction before it was matched to the emotion vector.
        cosine: Cosine with the emotion vector.
    """

    direction: Float[np.ndarray, " d_model"]
    seed: int
    own_norm: float
    cosine: float


Controls = dict[tuple[str, int], list[Control]]  # by emotion and layer


def vectors_at(
    emotion_vectors: Mapping[str, Any], layers: Sequence[int] | str, hook_point: str
) -> Vectors:
    """Return the emotion vectors by emotion and layer.

    Args:
        emotion_vectors: Phase 3's result; ``imported`` (by emotion and layer), if it is there,
            replaces the vectors of its emotions.
        layers: ``all``, or layers counted from 0.
        hook_point: The hook point at which the vectors will be used.

    Raises:
        InputError: If a layer has no vector, or the vectors were measured at another hook point.
    """
    metadata = emotion_vectors["metadata"]
    if metadata["hook_pos"] != hook_point:
        raise InputError(
            f"hook_point is {hook_point!r}, but the emotion vectors were measured at "
            f"{metadata['hook_pos']!r}; measure and patch at the same point"
        )
    known = metadata["layer_indices"]
    imported = emotion_vectors.get("imported", {})
    vectors: Vectors = {}
    for emotion, measured in emotion_vectors["emotion_vectors"].items():
        by_layer, where = dict(zip(known, measured, strict=True)), "the emotion vectors"
        if emotion in imported:
            by_layer, where = imported[emotion], f"the imported direction of {emotion}"
        for layer in [] if layers == "all" else layers:
            if layer not in by_layer:
                raise unknown_name("layer", layer, by_layer, where=where)
        vectors |= {
            (emotion, layer): np.asarray(vector)
            for layer, vector in by_layer.items()
            if layers == "all" or layer in layers
        }
    return vectors


def measured_activations(
    activations: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    emotions: EmotionSet,
    vectors: Vectors,
) -> PooledActivations:
    """Return the activations that emotion vectors were measured on, at the vectors' layers.

    Args:
        activations: Phase 2's result.
        emotion_vectors: Phase 3's result, whose metadata names hook point, positions and, if not
            all texts were used, scenarios.
        emotions: The study's emotions.
        vectors: By emotion and layer.
    """
    metadata = emotion_vectors["metadata"]
    pooled = pool_positions(
        activations,
        emotions,
        hook_point=metadata["hook_pos"],
        strategy=metadata["position_strategy"],
        layers=sorted({layer for _, layer in vectors}),
    )
    scenarios = metadata.get("scenarios")  # older files have vectors of all texts
    return pooled if scenarios is None else pooled.select(np.isin(pooled.pair_ids, scenarios))


def project(
    vector: Float[np.ndarray, " d_model"], basis: Float[np.ndarray, "k d_model"]
) -> Float[np.ndarray, " d_model"]:
    """Return the projection of a vector onto the span of an orthonormal basis."""
    projected: np.ndarray = (basis @ vector) @ basis
    return projected


def vector_norms(vectors: Vectors) -> dict[str, dict[int, float]]:
    """Return the length of each vector, by emotion and layer."""
    norms: dict[str, dict[int, float]] = {}
    for (emotion, layer), vector in vectors.items():
        norms.setdefault(emotion, {})[layer] = float(np.linalg.norm(vector))
    return norms


def random_control(vector: Float[np.ndarray, " d_model"], seed: int) -> Control:
    """Draw a direction of uniform orientation and of a vector's length.

    Args:
        vector: The vector whose length is matched.
        seed: Seed of the draw.
    """
    drawn = np.random.default_rng(seed).standard_normal(len(vector))
    return match_length(drawn, vector, seed)


def covariance_directions(
    values: Float[np.ndarray, "prompt d_model"], n: int, rng: np.random.Generator
) -> Float[np.ndarray, "draw d_model"]:
    """Draw normal directions whose covariance is that of activations.

    A uniform direction is mostly one along which the residual stream hardly varies, and which
    later layers may ignore for that reason alone. A direction of the activations' covariance lies
    where the stream does vary. Texts of all labels are in the covariance, so the directions also
    point along what differs between labels, which makes them a strict control.

    Args:
        values: One activation per text, of texts with all labels. Their mean is subtracted.
        n: Number of directions.
        rng: Source of randomness.

    Returns:
        The directions, in the units of the activations: with z standard normal, zᵀX / √(n − 1) of
        the centred activations X, whose covariance is XᵀX / (n − 1).
    """
    centred = values - values.mean(axis=0)
    weights = rng.standard_normal((n, len(values))) / np.sqrt(max(1, len(values) - 1))
    drawn: np.ndarray = weights @ centred
    return drawn


def covariance_control(
    vector: Float[np.ndarray, " d_model"],
    values: Float[np.ndarray, "prompt d_model"],
    seed: int,
) -> Control:
    """Draw a direction with the covariance of activations and of a vector's length.

    Args:
        vector: The vector whose length is matched.
        values: One activation per text, as for ``covariance_directions``.
        seed: Seed of the draw.
    """
    (drawn,) = covariance_directions(values, 1, np.random.default_rng(seed))
    return match_length(drawn, vector, seed)


def covariance_controls(
    pooled: PooledActivations,
    vectors: Vectors,
    seeds: Mapping[tuple[str, int], Sequence[int]],
    *,
    split: str,
) -> Controls:
    """Draw directions with the covariance of the texts that vectors were measured on.

    Args:
        pooled: Activations that the vectors were measured on.
        vectors: Emotion vectors whose lengths are matched, by emotion and layer.
        seeds: For each emotion and layer, one seed per direction.
        split: Split of the prompts that the vectors were measured on.

    Returns:
        By emotion and layer, one control per seed.
    """
    texts = pooled.splits == split
    values = {
        layer: pooled.values[texts, index] for index, layer in enumerate(pooled.layer_indices)
    }
    return {
        (emotion, layer): [
            covariance_control(vector, values[layer], seed) for seed in seeds[emotion, layer]
        ]
        for (emotion, layer), vector in vectors.items()
    }


def shuffled_controls(
    pooled: PooledActivations, vectors: Vectors, seeds: Mapping[str, Sequence[int]], *, split: str
) -> Controls:
    """Compute differences of means after shuffling the labels.

    They are differences of means whatever the method of the emotion vectors. Labels are shuffled
    among an emotion's prompts and the neutral prompts, with the same shuffle for all layers. The
    difference is much shorter than the emotion vector, so its length is matched to test the
    direction alone. It points along variation that prompts have in any case, which may include the
    emotion's axis with either sign; ``cosine`` records this.

    Args:
        pooled: Activations that the vectors were measured on.
        vectors: Emotion vectors whose lengths are matched, by emotion and layer.
        seeds: For each emotion, one seed per shuffle.
        split: Split of the prompts that the vectors were measured on.

    Returns:
        By emotion and layer, one control per shuffle.
    """
    controls: Controls = {key: [] for key in vectors}
    for emotion, of_emotion in seeds.items():
        for seed in of_emotion:
            difference = _shuffled_difference(pooled, emotion, split, seed)
            for index, layer in enumerate(pooled.layer_indices):
                if (emotion, layer) in vectors:
                    control = match_length(difference[index], vectors[emotion, layer], seed)
                    controls[emotion, layer].append(control)
    return controls


def _shuffled_difference(
    pooled: PooledActivations, emotion: str, split: str, seed: int
) -> Float[np.ndarray, "layer d_model"]:
    positive = pooled.rows(emotion, split)
    negative = pooled.rows(pooled.emotions.neutral, split)
    indices = np.random.default_rng(seed).permutation(np.concatenate([positive, negative]))
    drawn, rest = np.split(indices, [len(positive)])
    difference: np.ndarray = pooled.values[drawn].mean(axis=0) - pooled.values[rest].mean(axis=0)
    return difference


def match_length(
    direction: Float[np.ndarray, " d_model"], vector: Float[np.ndarray, " d_model"], seed: int = 0
) -> Control:
    """Scale a direction to the length of a vector.

    Args:
        direction: The direction; zero stays zero.
        vector: The vector whose length is matched.
        seed: Seed that the direction was drawn with.
    """
    norm = float(np.linalg.norm(direction))
    scale = float(np.linalg.norm(vector)) / norm if norm > 0 else 0.0
    return Control(direction * scale, seed, norm, cosine(direction, vector))


def describe_controls(controls: Controls) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """Return each control's seed, lengths and cosine, by emotion and layer."""
    described: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for (emotion, layer), drawn in controls.items():
        described.setdefault(emotion, {})[layer] = [
            {
                "seed": control.seed,
                "norm": float(np.linalg.norm(control.direction)),
                "own_norm": control.own_norm,
                "cosine": control.cosine,
            }
            for control in drawn
        ]
    return described
