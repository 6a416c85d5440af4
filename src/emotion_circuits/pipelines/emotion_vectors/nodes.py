"""Phase 3: emotion vectors, subspaces and probe scores from activations."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.geometry import (
    PooledActivations,
    cosine_table,
    fit_subspace,
    paired_differences,
)
from emotion_circuits.geometry.probes import pairs_named_outright, probe_table
from emotion_circuits.geometry.reliability import (
    Reliability,
    corrected_cosine,
    split_half_reliability,
)
from emotion_circuits.geometry.vector_methods import common_share
from emotion_circuits.language_models import resolve_device
from emotion_circuits.pipelines.emotion_vectors.settings import EmotionVectorSettings
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.reporting import draw_probes


def fit_emotion_vectors(
    activations: dict[str, Any],
    emotions: EmotionSet,
    settings: EmotionVectorSettings,
    prompts: pd.DataFrame | None = None,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Compute emotion vectors from the training prompts.

    Args:
        activations: Phase 2's result.
        emotions: The study's emotions.
        settings: Parameters of phase 3.
        prompts: Phase 1's table, which says which texts name an emotion; needed unless the
            vectors are of all texts.

    Returns:
        ``emotion_vectors`` (for each emotion ``[layer, d_model]``) with ``metadata``; norms per
        layer and emotion, with the mean norm of neutral prompts, the mean cosine between the
        vectors of two halves of the prompts, and the reliability; and cosines, with their
        correction for the reliabilities (see ``corrected_cosine`` for its limits).
    """
    pooled = _pool(activations, emotions, settings)
    pooled = settings.choose_texts(pooled, prompts, emotions)
    vectors = settings.fit(pooled)
    result = {
        "emotion_vectors": vectors,
        "metadata": _metadata(activations, pooled, settings)
        | {
            "position_strategy": settings.position_strategy,
            "method": settings.method,
            "texts": settings.texts,
            "scenarios": None if settings.texts == "all" else sorted(set(pooled.pair_ids.tolist())),
            "neutral_components_removed": settings.neutral_components_removed,
            "common_share": dict(
                zip(pooled.layer_indices, map(float, common_share(vectors)), strict=True)
            ),
        },
    }
    norms = _norms(pooled, vectors)
    reliability = split_half_reliability(pooled, seed=settings.seed, fit=settings.fit)
    for name in Reliability._fields:
        column = "cosine_of_halves" if name == "cosine" else name
        of_vector = {emotion: getattr(each, name) for emotion, each in reliability.items()}
        norms[column] = [
            float(of_vector[emotion][pooled.layer_indices.index(layer)])
            for layer, emotion in zip(norms["layer"], norms["emotion"], strict=True)
        ]
    cosines = cosine_table(vectors, pooled.layer_indices)
    return result, norms, _correct(cosines, norms)


def fit_emotion_subspaces(
    activations: dict[str, Any], emotions: EmotionSet, settings: EmotionVectorSettings
) -> dict[str, Any]:
    """Decompose the paired differences of each label at each layer.

    Returns:
        ``subspaces``: for each label and layer, ``components`` ``[k, d_model]``,
        ``explained_variance`` ``[k]`` and ``explained_variance_ratio`` ``[k]`` (share of the total
        variance); and ``metadata``.
    """
    pooled = _pool(activations, emotions, settings)
    device = resolve_device(settings.device)
    subspaces: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    for label in emotions.labels:
        differences = paired_differences(pooled, label)
        subspaces[label] = {
            layer: fit_subspace(
                differences[:, index],
                n_components=settings.n_components,
                center=settings.center,
                backend=settings.backend,
                device=device,
            )._asdict()
            for index, layer in enumerate(pooled.layer_indices)
        }
    metadata = _metadata(activations, pooled, settings)
    return {
        "subspaces": subspaces,
        "metadata": metadata
        | {
            "n_components": settings.n_components,
            "center": settings.center,
            "backend": settings.backend,
        },
    }


def score_probes(
    activations: dict[str, Any],
    prompts: pd.DataFrame,
    emotions: EmotionSet,
    settings: EmotionVectorSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Score held-out probes against a bag of words and shuffled labels.

    Returns:
        The table, and a figure of AUROC per layer and contrast.
    """
    pooled = _pool(activations, emotions, settings)
    explicit = prompts.set_index("text")["explicit"].reindex(activations["prompts"])
    named = pairs_named_outright(
        pooled.pair_ids, pooled.labels, explicit.to_numpy(dtype=bool), neutral=emotions.neutral
    )
    table = probe_table(pooled, named, n_shuffles=settings.n_shuffles, seed=settings.seed)
    table.insert(0, "model_name", activations["model_name"])
    return table, draw_probes(table)


def _pool(
    activations: dict[str, Any], emotions: EmotionSet, settings: EmotionVectorSettings
) -> PooledActivations:
    layers = None if settings.layers == "all" else settings.layers
    return settings.pool(activations, emotions, hook_point=settings.hook_point, layers=layers)


def _metadata(
    activations: dict[str, Any], pooled: PooledActivations, settings: EmotionVectorSettings
) -> dict[str, Any]:
    return {
        "model_name": activations["model_name"],
        "layer_indices": list(pooled.layer_indices),
        "hook_pos": settings.hook_point,
        "split": "train",
        "n_train": {label: len(pooled.rows(label, "train")) for label in pooled.emotions.labels},
    }


def _correct(cosines: pd.DataFrame, norms: pd.DataFrame) -> pd.DataFrame:
    """Add the cosines corrected for the vectors' reliabilities; 1 for a vector with itself."""
    reliability = norms.set_index(["layer", "emotion"])["reliability"]
    sides = [
        reliability.reindex(pd.MultiIndex.from_frame(cosines[[f"layer_{x}", f"emotion_{x}"]]))
        for x in "ab"
    ]
    first, second = (side.to_numpy() for side in sides)
    corrected = corrected_cosine(cosines["cosine"].to_numpy(), first, second)
    same = (cosines["layer_a"] == cosines["layer_b"]) & (
        cosines["emotion_a"] == cosines["emotion_b"]
    )
    return cosines.assign(cosine_corrected=np.where(same, cosines["cosine"], corrected))


def _norms(pooled: PooledActivations, vectors: dict[str, np.ndarray]) -> pd.DataFrame:
    neutral = pooled.values[pooled.rows(pooled.emotions.neutral, "train")]
    neutral_norms = np.linalg.norm(neutral, axis=-1).mean(axis=0)
    return pd.DataFrame(
        [
            {
                "layer": layer,
                "emotion": emotion,
                "norm": float(np.linalg.norm(vector[index])),
                "mean_neutral_norm": float(neutral_norms[index]),
                "ratio": float(np.linalg.norm(vector[index]) / neutral_norms[index]),
            }
            for index, layer in enumerate(pooled.layer_indices)
            for emotion, vector in vectors.items()
        ]
    )
