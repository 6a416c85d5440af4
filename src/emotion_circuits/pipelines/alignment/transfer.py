"""A's emotion vectors in B: as vectors to use there, and how well they read the emotion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from emotion_circuits.emotions import EMOTIONS
from emotion_circuits.geometry.maps import LinearMap, turn_with_shuffled_pairs
from emotion_circuits.geometry.transfer import measure_transfer
from emotion_circuits.pipelines.alignment.pairing import ModelPair
from emotion_circuits.pipelines.alignment.settings import AlignmentSettings


def transfer_vectors(
    pair: ModelPair,
    maps: Mapping[tuple[int, int], LinearMap],
    shuffles: np.ndarray,
    settings: AlignmentSettings,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Map A's emotion vectors, and random ones as long, and read B's held-out prompts by them.

    Args:
        pair: The two models.
        maps: For each pair of layers the map.
        shuffles: For each shuffle, which of B's neutral prompts is paired with each of A's.
        settings: How many random vectors and resamples, and the seed.

    Returns:
        ``emotion_vectors`` (for each emotion ``[layer, d_b]``, in B's coordinates and units),
        ``random_vectors`` (``[vector, layer, d_b]``) and ``metadata``; and a table with one row
        per pair of layers and emotion.
    """
    rng = np.random.default_rng([settings.seed, 1])
    rows: list[dict[str, Any]] = []
    mapped: dict[str, list[np.ndarray]] = {emotion: [] for emotion in EMOTIONS}
    random: dict[str, list[np.ndarray]] = {emotion: [] for emotion in EMOTIONS}
    for layers, fitted in maps.items():
        own = {emotion: pair.emotion_vectors(layers, emotion) for emotion in EMOTIONS}
        shuffled = turn_with_shuffled_pairs(
            *pair.neutral(layers, "train"),
            np.stack([vectors.a for vectors in own.values()]),
            shuffles,
            fitted=fitted,
            options=settings.map_options(),
        )
        for place, (emotion, vectors) in enumerate(own.items()):
            mapped[emotion].append(fitted.turn(vectors.a))
            random[emotion].append(fitted.turn(_draw(vectors.a, settings.n_random, rng)))
            activations, positive = pair.emotion_rows(layers[1], emotion)
            measured = measure_transfer(
                activations,
                positive,
                mapped=mapped[emotion][-1],
                own=vectors.b,
                random=random[emotion][-1],
                shuffled=shuffled[:, place],
                n_bootstrap=settings.n_bootstrap,
                rng=rng,
            )
            where = {"layer_a": layers[0], "layer_b": layers[1], "emotion": emotion}
            counts = {"n_test": len(positive), "n_random": settings.n_random}
            rows.append({**where, **measured._asdict(), **counts})
    metadata = {
        "model_name": pair.vectors[1]["metadata"]["model_name"],
        "source_model": pair.vectors[0]["metadata"]["model_name"],
        "layer_indices": [layer_b for _, layer_b in maps],
        "source_layer_indices": [layer_a for layer_a, _ in maps],
    }
    vectors_of = {emotion: np.stack(vectors) for emotion, vectors in mapped.items()}
    random_of = {emotion: np.stack(vectors, axis=1) for emotion, vectors in random.items()}
    return (
        {"emotion_vectors": vectors_of, "random_vectors": random_of, "metadata": metadata},
        pd.DataFrame(rows),
    )


def _draw(vector: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random vectors of the same length."""
    noise = rng.normal(size=(count, len(vector)))
    drawn: np.ndarray = noise * (
        np.linalg.norm(vector) / np.linalg.norm(noise, axis=1, keepdims=True)
    )
    return drawn
