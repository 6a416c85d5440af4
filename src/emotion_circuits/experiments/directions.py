"""The directions of a steering experiment: emotion vectors, and controls that should do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.geometry import PooledActivations
from emotion_circuits.geometry.cosines import cosine

Vectors = dict[tuple[str, int], np.ndarray]  # by emotion and layer


class Control(NamedTuple):
    """A direction that should do nothing.

    Attributes:
        direction: As long as the emotion vector it is compared with.
        seed: Makes it again.
        own_norm: Its length before it was brought to that of the emotion vector.
        cosine: With the emotion vector.
    """

    direction: Float[np.ndarray, " d_model"]
    seed: int
    own_norm: float
    cosine: float


Controls = dict[tuple[str, int], list[Control]]  # by emotion and layer


def vectors_at(
    emotion_vectors: Mapping[str, Any], layers: Sequence[int] | str, hook_point: str
) -> Vectors:
    """Give the emotion vectors by emotion and layer.

    Args:
        emotion_vectors: Phase 3's result.
        layers: ``all``, or layers counted from 0.
        hook_point: Where they shall be used.

    Raises:
        InputError: If a layer has no vector, or they were measured at another point.
    """
    metadata = emotion_vectors["metadata"]
    if metadata["hook_pos"] != hook_point:
        raise InputError(
            f"hook_point is {hook_point!r}, but the emotion vectors were measured at "
            f"{metadata['hook_pos']!r}; measure and patch at the same point"
        )
    known = metadata["layer_indices"]
    for layer in [] if layers == "all" else layers:
        if layer not in known:
            raise unknown_name("layer", layer, known, where="the emotion vectors")
    return {
        (emotion, layer): np.asarray(by_layer[place])
        for emotion, by_layer in emotion_vectors["emotion_vectors"].items()
        for place, layer in enumerate(known)
        if layers == "all" or layer in layers
    }


def project(
    vector: Float[np.ndarray, " d_model"], basis: Float[np.ndarray, "k d_model"]
) -> Float[np.ndarray, " d_model"]:
    """Give the part of a vector that lies in the span of orthonormal rows."""
    projected: np.ndarray = (basis @ vector) @ basis
    return projected


def vector_norms(vectors: Vectors) -> dict[str, dict[int, float]]:
    """Give the length of each vector, by emotion and layer."""
    norms: dict[str, dict[int, float]] = {}
    for (emotion, layer), vector in vectors.items():
        norms.setdefault(emotion, {})[layer] = float(np.linalg.norm(vector))
    return norms


def random_control(vector: Float[np.ndarray, " d_model"], seed: int) -> Control:
    """Draw a direction uniformly from the sphere through a vector's end.

    Args:
        vector: Whose length to match.
        seed: Of the draw.
    """
    drawn = np.random.default_rng(seed).standard_normal(len(vector))
    return match_length(drawn, vector, seed)


def shuffled_controls(
    pooled: PooledActivations, vectors: Vectors, seeds: Mapping[str, Sequence[int]], *, split: str
) -> Controls:
    """Compute emotion vectors anew after the labels were shuffled.

    Labels are shuffled among an emotion's and the neutral prompts, and one shuffle serves all
    layers. The difference of means that comes out is much shorter than the emotion vector; it is
    brought to the same length, so that it tests the direction and not the length. It points along
    the variation that prompts have anyway, which may include the emotion's axis, with either
    sign: its cosine is kept.

    Args:
        pooled: Activations that the vectors were measured on.
        vectors: Whose lengths to match, by emotion and layer.
        seeds: For each emotion one per shuffle.
        split: Of the prompts the vectors were measured on.

    Returns:
        For each emotion and layer one control per shuffle.
    """
    controls: Controls = {place: [] for place in vectors}
    for emotion, of_emotion in seeds.items():
        for seed in of_emotion:
            difference = _shuffled_difference(pooled, emotion, split, seed)
            for place, layer in enumerate(pooled.layer_indices):
                if (emotion, layer) in vectors:
                    control = match_length(difference[place], vectors[emotion, layer], seed)
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
    """Bring a direction to the length of a vector.

    Args:
        direction: A direction of exactly zero stays zero.
        vector: Whose length to match.
        seed: What the direction was drawn with.
    """
    norm = float(np.linalg.norm(direction))
    scale = float(np.linalg.norm(vector)) / norm if norm > 0 else 0.0
    return Control(direction * scale, seed, norm, cosine(direction, vector))


def describe_controls(controls: Controls) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """Give seed, lengths and cosine of each control, by emotion and layer."""
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for (emotion, layer), drawn in controls.items():
        found.setdefault(emotion, {})[layer] = [
            {
                "seed": control.seed,
                "norm": float(np.linalg.norm(control.direction)),
                "own_norm": control.own_norm,
                "cosine": control.cosine,
            }
            for control in drawn
        ]
    return found
