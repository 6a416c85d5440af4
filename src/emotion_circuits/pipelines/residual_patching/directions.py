"""The directions of the phase: emotion vectors, and controls that should do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.emotions import EMOTIONS, NEUTRAL
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.geometry import PooledActivations, pool_positions
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
        (emotion, layer): np.asarray(emotion_vectors["emotion_vectors"][emotion][place])
        for emotion in EMOTIONS
        for place, layer in enumerate(known)
        if layers == "all" or layer in layers
    }


def project(
    vector: Float[np.ndarray, " d_model"], basis: Float[np.ndarray, "k d_model"]
) -> Float[np.ndarray, " d_model"]:
    """Give the part of a vector that lies in the span of orthonormal rows."""
    projected: np.ndarray = (basis @ vector) @ basis
    return projected


def derive_seed(*parts: int) -> int:
    """Give one seed for a place in a table, far from those of its neighbours."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def random_control(vector: Float[np.ndarray, " d_model"], seed: int) -> Control:
    """Draw a direction uniformly from the sphere through a vector's end.

    Args:
        vector: Whose length to match.
        seed: Of the draw.
    """
    drawn = np.random.default_rng(seed).standard_normal(len(vector))
    return _match(drawn, vector, seed)


def shuffled_controls(
    activations: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    vectors: Mapping[tuple[str, int], Float[np.ndarray, " d_model"]],
    seeds: Mapping[str, Sequence[int]],
) -> dict[tuple[str, int], list[Control]]:
    """Compute emotion vectors anew after the training labels were shuffled.

    Labels are shuffled among an emotion's and the neutral training prompts, and one shuffle
    serves all layers. The difference of means that comes out is much shorter than the emotion
    vector; it is brought to the same length, so that it tests the direction and not the length.
    It points along the variation that prompts have anyway, which may include the emotion's axis,
    with either sign: its cosine is kept.

    Args:
        activations: Phase 2's result.
        emotion_vectors: Phase 3's, which says what was pooled how.
        vectors: Whose lengths to match, by emotion and layer.
        seeds: For each emotion one per shuffle.

    Returns:
        For each emotion and layer one control per shuffle.
    """
    metadata = emotion_vectors["metadata"]
    layers = sorted({layer for _, layer in vectors})
    pooled = pool_positions(
        activations,
        hook_point=metadata["hook_pos"],
        strategy=metadata["position_strategy"],
        layers=layers,
    )
    found: dict[tuple[str, int], list[Control]] = {place: [] for place in vectors}
    for emotion, of_emotion in seeds.items():
        for seed in of_emotion:
            difference = _shuffled_difference(pooled, emotion, metadata["split"], seed)
            for place, layer in enumerate(layers):
                if (emotion, layer) in vectors:
                    control = _match(difference[place], vectors[emotion, layer], seed)
                    found[emotion, layer].append(control)
    return found


def _shuffled_difference(
    pooled: PooledActivations, emotion: str, split: str, seed: int
) -> Float[np.ndarray, "layer d_model"]:
    positive, negative = pooled.rows(emotion, split), pooled.rows(NEUTRAL, split)
    rows = np.random.default_rng(seed).permutation(np.concatenate([positive, negative]))
    drawn, rest = pooled.values[rows[: len(positive)]], pooled.values[rows[len(positive) :]]
    difference: np.ndarray = drawn.mean(axis=0) - rest.mean(axis=0)
    return difference


def _match(direction: np.ndarray, vector: np.ndarray, seed: int) -> Control:
    norm = float(np.linalg.norm(direction))
    # A difference of exactly zero (one prompt a label, shuffled in place) stays zero.
    scale = float(np.linalg.norm(vector)) / norm if norm > 0 else 0.0
    return Control(direction * scale, seed, norm, cosine(direction, vector))
