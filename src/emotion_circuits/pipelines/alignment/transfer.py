"""A's emotion vectors mapped into B, and how well they read emotions there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emotion_circuits.geometry.maps import LinearMap, turn_with_shuffled_pairs
from emotion_circuits.geometry.reliability import corrected_cosine, split_half_reliability
from emotion_circuits.geometry.transfer import Reading, measure_reading, measure_transfer
from emotion_circuits.pipelines.alignment.pairing import ModelPair
from emotion_circuits.pipelines.alignment.settings import AlignmentSettings
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics import max_t_p, rank_p

OTHERS = "other_emotions"


class Transferred(NamedTuple):
    """A's vectors in B, and their AUROCs there.

    Attributes:
        vectors: ``emotion_vectors`` (for each emotion ``[layer, d_b]``, in B's coordinates and
            units), ``random_vectors`` (``[vector, layer, d_b]``) and ``metadata``.
        own_emotion: One line per pair of layers and emotion: the emotion's vector on its prompts,
            and its cosine with B's vector, also corrected for both reliabilities.
        matrix: One line per pair of layers, vector, emotion to read, and labels to read against.
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
    """Map A's emotion vectors and random ones of their length, and read B's held-out prompts.

    Args:
        pair: The two models.
        maps: The map for each pair of layers.
        shuffles: For each shuffle, the index of B's neutral prompt that is paired with each of A.
        settings: Numbers of random vectors and resamples, and the seed.

    Returns:
        Vectors and tables. ``p_value`` of ``matrix`` is for one line, ``p_value_max`` is corrected
        for all lines.
    """
    names, neutral = pair.emotions.names, pair.emotions.neutral
    readings: list[tuple[dict[str, Any], Reading]] = []
    lines: list[dict[str, Any]] = []
    mapped: dict[str, list[np.ndarray]] = {emotion: [] for emotion in names}
    random: dict[str, list[np.ndarray]] = {emotion: [] for emotion in names}
    for layers, fitted in maps.items():
        reliability = [
            split_half_reliability(
                replace(
                    pooled,
                    values=turn(pooled.values[:, [pooled.layer_indices.index(layer)]]),
                    layer_indices=(layer,),
                ),
                seed=settings.seed,
            )
            for pooled, layer, turn in zip(pair.pooled, layers, (fitted.turn, _same), strict=True)
        ]
        own = {emotion: pair.emotion_vectors(layers, emotion) for emotion in names}
        shuffled = turn_with_shuffled_pairs(
            *pair.neutral(layers, "train"),
            np.stack([vectors.a for vectors in own.values()]),
            shuffles,
            fitted=fitted,
            options=settings.map_options(),
        )
        for index, (emotion, vectors) in enumerate(own.items()):
            mapped[emotion].append(fitted.turn(vectors.a))
            drawn = _draw(vectors.a, settings, layers, emotion)
            random[emotion].append(fitted.turn(drawn))
            held_out = pair.emotion_rows(layers[1], emotion, [neutral])
            measured = measure_transfer(
                held_out.values,
                held_out.positive,
                clusters=held_out.clusters,
                mapped=mapped[emotion][-1],
                own=vectors.b,
                random=random[emotion][-1],
                shuffled=shuffled[:, index],
            )
            where = {"layer_a": layers[0], "layer_b": layers[1], "emotion": emotion}
            reliable = [float(each[emotion].reliability[0]) for each in reliability]
            corrected = {
                "reliability_mapped": reliable[0],
                "reliability_own": reliable[1],
                "cosine_own_corrected": float(corrected_cosine(measured.cosine_own, *reliable)),
            }
            counts = {"n_test": len(held_out.positive), "n_random": settings.n_random}
            lines.append({**where, **measured._asdict(), **corrected, **counts})
            readings += _read_all(
                pair,
                layers,
                emotion,
                {"mapped": mapped[emotion][-1], "own": vectors.b, "shuffled": shuffled[:, index]},
            )
    matrix = _matrix(readings)
    diagonal = (matrix["vector"] == matrix["emotion"]) & (matrix["against"] == neutral)
    # Both tables have one line per pair of layers and emotion, in the same order.
    together = matrix.loc[diagonal, "p_value_max"].to_numpy()
    return Transferred(
        {
            "emotion_vectors": {emotion: np.stack(each) for emotion, each in mapped.items()},
            "random_vectors": {emotion: np.stack(each, axis=1) for emotion, each in random.items()},
            "metadata": _metadata(pair, list(maps)),
        },
        pd.DataFrame(lines).assign(p_value_max=together),
        matrix,
    )


def _same(values: np.ndarray) -> np.ndarray:
    return values


def _metadata(pair: ModelPair, layers: list[tuple[int, int]]) -> dict[str, Any]:
    names = [phase["metadata"]["model_name"] for phase in pair.vectors]
    return {
        "model_name": names[1],
        "source_model": names[0],
        "layer_indices": [layer_b for _, layer_b in layers],
        "source_layer_indices": [layer_a for layer_a, _ in layers],
    }


def _read_all(
    pair: ModelPair,
    layers: tuple[int, int],
    vector: str,
    vectors: Mapping[str, np.ndarray],
) -> list[tuple[dict[str, Any], Reading]]:
    """Read each emotion by one emotion's vector, against neutral and the other emotions."""
    readings = []
    names, neutral = pair.emotions.names, pair.emotions.neutral
    for emotion in names:
        others = [other for other in names if other != emotion]
        for against, labels in ((neutral, [neutral]), (OTHERS, others)):
            held_out = pair.emotion_rows(layers[1], emotion, labels)
            reading = measure_reading(
                held_out.values,
                held_out.positive,
                clusters=held_out.clusters,
                mapped=vectors["mapped"],
                own=vectors["own"],
                shuffled=vectors["shuffled"],
            )
            where = {"layer_a": layers[0], "layer_b": layers[1], "vector": vector}
            readings.append(({**where, "emotion": emotion, "against": against}, reading))
    return readings


def _matrix(readings: list[tuple[dict[str, Any], Reading]]) -> pd.DataFrame:
    """Make a table of readings, with p-values for each one and corrected for all."""
    observed = np.array([reading.mapped.auroc for _, reading in readings])
    null = np.stack([reading.shuffled for _, reading in readings], axis=1)
    # Emotions without held-out prompts have NaN as AUROC and p.
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
                "p_value": single[index],
                "p_value_max": together[index],
            }
            for index, (where, reading) in enumerate(readings)
        ]
    )


def _draw(
    vector: np.ndarray, settings: AlignmentSettings, layers: tuple[int, int], emotion: str
) -> np.ndarray:
    """Draw random vectors of the length of an emotion's vector."""
    rng = rng_for(settings.seed, "random_vectors", *layers, emotion)
    noise = rng.normal(size=(settings.n_random, len(vector)))
    drawn: np.ndarray = noise * (
        np.linalg.norm(vector) / np.linalg.norm(noise, axis=1, keepdims=True)
    )
    return drawn
