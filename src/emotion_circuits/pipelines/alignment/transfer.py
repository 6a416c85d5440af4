"""A's emotion vectors in B: as vectors to use there, and how well they read the emotion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emotion_circuits.geometry.maps import LinearMap, turn_with_shuffled_pairs
from emotion_circuits.geometry.transfer import Reading, measure_reading, measure_transfer
from emotion_circuits.pipelines.alignment.pairing import ModelPair
from emotion_circuits.pipelines.alignment.settings import AlignmentSettings
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics import max_t_p, rank_p

OTHERS = "other_emotions"


class Transferred(NamedTuple):
    """A's vectors in B, and what they read there.

    Attributes:
        vectors: ``emotion_vectors`` (for each emotion ``[layer, d_b]``, in B's coordinates and
            units), ``random_vectors`` (``[vector, layer, d_b]``) and ``metadata``.
        own_emotion: One row per pair of layers and emotion: its vector on its own prompts.
        matrix: One row per pair of layers, vector, emotion to be read, and what it is read
            against.
    """

    vectors: dict[str, Any]
    own_emotion: pd.DataFrame
    matrix: pd.DataFrame


def transfer_vectors(
    pair: ModelPair,
    maps: Mapping[tuple[int, int], LinearMap],
    shuffles: np.ndarray,
    settings: AlignmentSettings,
) -> Transferred:
    """Map A's emotion vectors, and random ones as long, and read B's held-out prompts by them.

    Args:
        pair: The two models.
        maps: For each pair of layers the map.
        shuffles: For each shuffle, which of B's neutral prompts is paired with each of A's.
        settings: How many random vectors and resamples, and the seed.

    Returns:
        Vectors and tables; p-values of ``matrix`` are those of reading, one for the vector and
        these prompts (``p_value``) and one that holds for all rows together (``p_value_max``).
    """
    names, neutral = pair.emotions.names, pair.emotions.neutral
    readings: list[tuple[dict[str, Any], Reading]] = []
    rows: list[dict[str, Any]] = []
    mapped: dict[str, list[np.ndarray]] = {emotion: [] for emotion in names}
    random: dict[str, list[np.ndarray]] = {emotion: [] for emotion in names}
    for layers, fitted in maps.items():
        own = {emotion: pair.emotion_vectors(layers, emotion) for emotion in names}
        shuffled = turn_with_shuffled_pairs(
            *pair.neutral(layers, "train"),
            np.stack([vectors.a for vectors in own.values()]),
            shuffles,
            fitted=fitted,
            options=settings.map_options(),
        )
        for place, (emotion, vectors) in enumerate(own.items()):
            mapped[emotion].append(fitted.turn(vectors.a))
            drawn = _draw(vectors.a, settings, layers, emotion)
            random[emotion].append(fitted.turn(drawn))
            activations, positive = pair.emotion_rows(layers[1], emotion, [neutral])
            measured = measure_transfer(
                activations,
                positive,
                mapped=mapped[emotion][-1],
                own=vectors.b,
                random=random[emotion][-1],
                shuffled=shuffled[:, place],
                n_bootstrap=settings.n_bootstrap,
                rng=_resamples(settings, layers, emotion, emotion, neutral),
            )
            where = {"layer_a": layers[0], "layer_b": layers[1], "emotion": emotion}
            counts = {"n_test": len(positive), "n_random": settings.n_random}
            rows.append({**where, **measured._asdict(), **counts})
            readings += _read_all(
                pair,
                layers,
                emotion,
                {"mapped": mapped[emotion][-1], "own": vectors.b, "shuffled": shuffled[:, place]},
                settings,
            )
    metadata = {
        "model_name": pair.vectors[1]["metadata"]["model_name"],
        "source_model": pair.vectors[0]["metadata"]["model_name"],
        "layer_indices": [layer_b for _, layer_b in maps],
        "source_layer_indices": [layer_a for layer_a, _ in maps],
    }
    vectors_of = {emotion: np.stack(vectors) for emotion, vectors in mapped.items()}
    random_of = {emotion: np.stack(vectors, axis=1) for emotion, vectors in random.items()}
    matrix = _matrix(readings)
    diagonal = (matrix["vector"] == matrix["emotion"]) & (matrix["against"] == neutral)
    # Both have a row for each pair of layers and emotion, in the same order.
    together = matrix.loc[diagonal, "p_value_max"].to_numpy()
    return Transferred(
        {"emotion_vectors": vectors_of, "random_vectors": random_of, "metadata": metadata},
        pd.DataFrame(rows).assign(p_value_max=together),
        matrix,
    )


def _read_all(
    pair: ModelPair,
    layers: tuple[int, int],
    vector: str,
    vectors: Mapping[str, np.ndarray],
    settings: AlignmentSettings,
) -> list[tuple[dict[str, Any], Reading]]:
    """Read every emotion, against neutral and against the other emotions, by one's vector."""
    found = []
    names, neutral = pair.emotions.names, pair.emotions.neutral
    for emotion in names:
        others = [other for other in names if other != emotion]
        for against, labels in ((neutral, [neutral]), (OTHERS, others)):
            activations, positive = pair.emotion_rows(layers[1], emotion, labels)
            reading = measure_reading(
                activations,
                positive,
                mapped=vectors["mapped"],
                own=vectors["own"],
                shuffled=vectors["shuffled"],
                n_bootstrap=settings.n_bootstrap,
                rng=_resamples(settings, layers, vector, emotion, against),
            )
            where = {"layer_a": layers[0], "layer_b": layers[1], "vector": vector}
            found.append(({**where, "emotion": emotion, "against": against}, reading))
    return found


def _matrix(readings: list[tuple[dict[str, Any], Reading]]) -> pd.DataFrame:
    """Put readings into rows, with p-values that hold for all of them together."""
    observed = np.array([reading.mapped.auroc for _, reading in readings])
    null = np.stack([reading.shuffled for _, reading in readings], axis=1)
    # Emotions without held-out prompts have no AUROC, and no p.
    single, together = rank_p(observed, null), max_t_p(observed, null)
    return pd.DataFrame(
        [
            {
                **where,
                "auroc_mapped": reading.mapped.auroc,
                "ci_lower": reading.mapped.ci_lower,
                "ci_upper": reading.mapped.ci_upper,
                "auroc_own": reading.own,
                "auroc_shuffled_mean": float(reading.shuffled.mean()),
                "auroc_shuffled_p95": float(np.quantile(reading.shuffled, 0.95)),
                "p_value": single[place],
                "p_value_max": together[place],
            }
            for place, (where, reading) in enumerate(readings)
        ]
    )


def _resamples(
    settings: AlignmentSettings, layers: tuple[int, int], vector: str, emotion: str, against: str
) -> np.random.Generator:
    """Give the stream of a reading's resamples, the same in both tables."""
    return rng_for(settings.seed, "readings", *layers, vector, emotion, against)


def _draw(
    vector: np.ndarray, settings: AlignmentSettings, layers: tuple[int, int], emotion: str
) -> np.ndarray:
    """Draw random vectors as long as an emotion's."""
    rng = rng_for(settings.seed, "random_vectors", *layers, emotion)
    noise = rng.normal(size=(settings.n_random, len(vector)))
    drawn: np.ndarray = noise * (
        np.linalg.norm(vector) / np.linalg.norm(noise, axis=1, keepdims=True)
    )
    return drawn
