"""Phase 4: map one model's residual stream into another's, and compare their emotions."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emotion_circuits.geometry.canonical import canonical_correlations
from emotion_circuits.geometry.maps import LinearMap, fit_map
from emotion_circuits.geometry.overlaps import Both, Overlaps, measure_overlaps
from emotion_circuits.geometry.specificity import measure_specificity
from emotion_circuits.pipelines.alignment.pairing import ModelPair, pair_models
from emotion_circuits.pipelines.alignment.settings import AlignmentSettings
from emotion_circuits.pipelines.alignment.tables import full_result, k_sweep, overlap_table
from emotion_circuits.pipelines.alignment.transfer import transfer_vectors
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.seeds import rng_for

logger = logging.getLogger(__name__)


class Alignment(NamedTuple):
    """Results of phase 4 for a pair of models, in the order of the node's outputs."""

    alignment: dict[str, Any]
    k_sweep: dict[str, Any]
    overlaps: pd.DataFrame
    maps: pd.DataFrame
    mapped_vectors: dict[str, Any]
    transfer: pd.DataFrame
    transfer_matrix: pd.DataFrame


def align_models(
    activations_a: dict[str, Any],
    activations_b: dict[str, Any],
    vectors_a: dict[str, Any],
    vectors_b: dict[str, Any],
    subspaces_a: dict[str, Any],
    subspaces_b: dict[str, Any],
    profile: str,
    emotions: EmotionSet,
    settings: AlignmentSettings,
) -> Alignment:
    """Map A into B at each pair of matched layers, and compare A's mapped emotions with B's.

    Args:
        activations_a: Phase 2's result of A.
        activations_b: Phase 2's result of B, on the same prompts.
        vectors_a: Phase 3's vectors of A.
        vectors_b: Phase 3's vectors of B.
        subspaces_a: Phase 3's subspaces of A.
        subspaces_b: Phase 3's subspaces of B.
        profile: The profile's name.
        emotions: The study's emotions.
        settings: Parameters of phase 4.

    Returns:
        The two files of the contract; tables of overlaps and of the quality of maps; A's emotion
        vectors and random vectors in B's coordinates; and tables of how well these vectors read
        their own emotion and other emotions in B.

    Raises:
        InputError: If the two models' results do not match, or a map cannot be learned.
    """
    pair = pair_models(
        (activations_a, activations_b),
        (vectors_a, vectors_b),
        (subspaces_a, subspaces_b),
        emotions,
        map_positions=settings.map_positions,
        layer_matching=settings.layer_matching,
    )
    options = settings.map_options()
    maps = {layers: fit_map(*pair.neutral(layers, "train"), options) for layers in pair.layers}
    # All layers share the shuffles, which the null of the best layer needs.
    rng = rng_for(settings.seed, "shuffled_pairs")
    n_train = len(pair.pooled[0].rows(emotions.neutral, "train"))
    shuffles = np.stack([rng.permutation(n_train) for _ in range(settings.n_permutations)])
    held_out = {layers: pair.held_out(layers) for layers in pair.layers}
    overlaps = {
        layers: measure_overlaps(
            held_out[layers],
            maps[layers],
            shuffles,
            k_max=settings.k_max,
            center=subspaces_b["metadata"]["center"],
            n_splits=settings.n_splits,
            n_resamples=settings.n_resamples,
            seed=settings.seed,
            options=options,
        )
        for layers in pair.layers
    }
    compared = {
        layers: measure_specificity(
            held_out[layers],
            maps[layers],
            k_max=settings.k_max,
            center=subspaces_b["metadata"]["center"],
            n_halvings=settings.n_halvings,
            n_swaps=settings.n_swaps,
            seed=settings.seed,
            device=options.device,
        )
        for layers in pair.layers
    }
    table = overlap_table(overlaps, compared, settings.method)
    emotional = table[table["emotion"].isin(emotions.names)]
    names = activations_a["model_name"], activations_b["model_name"]
    metadata = {"profile": profile, "model_a": names[0], "model_b": names[1]} | _metadata(
        pair, overlaps, settings
    )
    transferred = transfer_vectors(pair, maps, shuffles, settings)
    return Alignment(
        alignment=full_result(emotional, metadata),
        k_sweep=k_sweep(emotional, overlaps, compared, *names),
        overlaps=table.assign(model_a=names[0], model_b=names[1]),
        maps=_map_quality(pair, maps, settings),
        mapped_vectors=transferred.vectors
        | {"metadata": metadata | transferred.vectors["metadata"]},
        transfer=transferred.own_emotion,
        transfer_matrix=transferred.matrix,
    )


def _metadata(
    pair: ModelPair,
    overlaps: dict[tuple[int, int], dict[str, Overlaps]],
    settings: AlignmentSettings,
) -> dict[str, Any]:
    first, second = pair.pooled
    width_a, width_b = first.values.shape[-1], second.values.shape[-1]
    skipped = [
        {"layer": layers[0], "emotion": label}
        for layers, labels in overlaps.items()
        for label in pair.emotions.labels
        if label not in labels
    ]
    if skipped:
        logger.warning(
            "No overlap for %s: their held-out differences span nothing",
            sorted({str(item["emotion"]) for item in skipped}),
        )
    return {
        "overlap_before_in": "residual_stream" if width_a == width_b else "neutral_pca",
        "d_model_a": width_a,
        "d_model_b": width_b,
        "layer_pairs": [list(layers) for layers in pair.layers],
        "hook_pos": pair.vectors[0]["metadata"]["hook_pos"],
        "position_strategy": pair.vectors[0]["metadata"]["position_strategy"],
        "center": pair.subspaces[1]["metadata"]["center"],
        "n_train_neutral": len(first.rows(pair.emotions.neutral, "train")),
        "n_test_pairs": {label: len(first.rows(label, "test")) for label in pair.emotions.labels},
        "skipped": skipped,
        **settings.model_dump(exclude={"layer_matching"}),
    }


def _map_quality(
    pair: ModelPair, maps: dict[tuple[int, int], LinearMap], settings: AlignmentSettings
) -> pd.DataFrame:
    """Return how well each map predicts B's activations, and canonical correlations."""
    lines = []
    for layers, fitted in maps.items():
        train, test = (pair.neutral(layers, split) for split in ("train", "test"))
        # Correlations use one position, since positions of a prompt are not independent samples.
        correlations = canonical_correlations(
            train.a[:, 0], train.b[:, 0], test.a[:, 0], test.b[:, 0], rank=settings.rank
        )
        lines.append(
            {
                "layer_a": layers[0],
                "layer_b": layers[1],
                "method": settings.method,
                "rank": fitted.rank,
                "penalty": fitted.penalty,
                "n_train": len(train.a),
                "n_test": len(test.a),
                "r2_train": _explained(fitted, train),
                "r2_test": _explained(fitted, test),
                "canonical_rank": len(correlations.train),
                "canonical_train_mean": float(correlations.train.mean()),
                "canonical_test_mean": float(correlations.held_out.mean()),
            }
        )
    return pd.DataFrame(lines)


def _explained(fitted: LinearMap, activations: Both) -> float:
    """Return the share of B's variance about the training mean that the map predicts."""
    total = float(((activations.b - fitted.mean_b) ** 2).sum())
    missed = float(((activations.b - fitted.predict(activations.a)) ** 2).sum())
    return 1 - missed / total if total > 0 else float("nan")
