"""Steering one model with another's emotion vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.interventions import BASELINE, Condition
from emotion_circuits.language_models import LanguageModel, resolve_device
from emotion_circuits.pipelines.residual_patching.conditions import Place, build_conditions
from emotion_circuits.pipelines.residual_patching.directions import project
from emotion_circuits.pipelines.residual_patching.results import (
    FLUENCY,
    cell_as_records,
    metric_keys,
)
from emotion_circuits.pipelines.residual_patching.scoring import run_conditions
from emotion_circuits.pipelines.residual_patching.selection import choose_conditions
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings
from emotion_circuits.pipelines.residual_patching.tables import (
    Half,
    effect_rows,
    effects_of,
    halves_of,
)

# What steers: the model's own vector, the other model's, and random ones through the same map.
KINDS = ("own", "mapped", "mapped_random")


def steer_with_mapped_vectors(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    mapped_vectors: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    residual_sweep: Mapping[str, Any],
    settings: ResidualPatchingSettings,
) -> pd.DataFrame:
    """Compare what A's mapped vector does in B with B's own vector and with mapped random ones.

    Layer and strength are those that B's own sweep chooses on one half of its prompts, among the
    layers that A was mapped to; effects are measured on the other half. B's own vector is what
    its sweep added at α = 1. All vectors have its length, so that only their directions differ,
    and are decoded alike.

    Args:
        language_model: B.
        text_evaluator: Reads the continuations.
        mapped_vectors: Phase 4's, in B's coordinates.
        emotion_vectors: B's own, of phase 3.
        emotion_subspaces: B's own, of phase 3.
        residual_sweep: B's, of phase 5.
        settings: Phase 5's.

    Returns:
        One row per emotion, vector and of the emotion's own metric and fluency: ``model_name``,
        ``source_model``, ``emotion``, ``vector`` (one of ``KINDS``), ``number``, ``layer_a``,
        ``layer``, ``alpha``, ``cosine_own``, the effect as in phase 5's tables, and ``p_random``
        and ``n_random``: for the own metric under ``own`` and ``mapped``, the rank of the effect
        among those of ``mapped_random``, (1 + how many are at least as large) / (1 + how many
        there are).

    Raises:
        InputError: If B was not swept at any layer that A was mapped to.
    """
    model = language_model
    if settings.device is not None:
        model = language_model.on(resolve_device(settings.device))
    half = halves_of(residual_sweep, settings)[1]
    conditions: dict[Place, Condition] = {}
    cosines: dict[Place, float] = {}
    mapped_layers = mapped_vectors["metadata"]["layer_indices"]
    swept = _at_layers(residual_sweep, mapped_layers)
    for emotion, choice in choose_conditions(swept, settings).items():
        layer, place = choice.layer, mapped_layers.index(choice.layer)
        own = _injected(emotion_vectors, emotion_subspaces, emotion, layer, settings)
        vectors = {
            "own": [own],
            "mapped": [mapped_vectors["emotion_vectors"][emotion][place]],
            "mapped_random": list(
                mapped_vectors["random_vectors"][emotion][: settings.num_random, place]
            ),
        }
        for kind, several in vectors.items():
            scaled = [_as_long_as(own, vector) for vector in several]
            made = build_conditions(
                kind, emotion, layer, scaled, alphas=[choice.alpha], settings=settings
            )
            conditions |= made
            for key, vector in zip(made, scaled, strict=True):
                cosines[key] = float(vector @ own / (own @ own))
    scored = run_conditions(
        model,
        text_evaluator,
        half.prompts,
        [BASELINE, *conditions.values()],
        settings=settings,
        seed=settings.seed,
    )
    cells = {
        place: cell_as_records(scored[condition.name]) for place, condition in conditions.items()
    }
    keys = metric_keys(residual_sweep)
    return _table(cells, cosines, half, keys, mapped_vectors["metadata"], settings)


def _injected(
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    emotion: str,
    layer: int,
    settings: ResidualPatchingSettings,
) -> Float[np.ndarray, " d_model"]:
    """Give what the sweep that chose the strength added at α = 1."""
    place = emotion_vectors["metadata"]["layer_indices"].index(layer)
    vector: np.ndarray = emotion_vectors["emotion_vectors"][emotion][place]
    if settings.operator != "subspace":
        return vector
    components = emotion_subspaces["subspaces"][emotion][layer]["components"]
    return project(vector, components[: settings.subspace_rank])


def _at_layers(sweep: Mapping[str, Any], layers: Sequence[int]) -> Mapping[str, Any]:
    """Leave out of a sweep what was done at other layers."""
    kept = {
        emotion: {layer: cells for layer, cells in swept.items() if layer in layers}
        for emotion, swept in sweep["sweep_results"].items()
    }
    for emotion, swept in kept.items():
        if not swept:
            had = ", ".join(map(str, sweep["sweep_results"][emotion]))
            raise InputError(
                f"{sweep['model']} was steered at layer {had} only, and mapped vectors are of "
                f"layers {', '.join(map(str, layers))}; put one of these into "
                "residual_patching.layers"
            )
    return {**sweep, "sweep_results": kept}


def _as_long_as(
    own: Float[np.ndarray, " d_model"], vector: Float[np.ndarray, " d_model"]
) -> Float[np.ndarray, " d_model"]:
    norm = np.linalg.norm(vector)
    scaled: np.ndarray = vector * (np.linalg.norm(own) / norm) if norm > 0 else vector
    return scaled


def _table(
    cells: Mapping[Place, Sequence[Mapping[str, Any]]],
    cosines: Mapping[Place, float],
    half: Half,
    keys: Sequence[str],
    metadata: Mapping[str, Any],
    settings: ResidualPatchingSettings,
) -> pd.DataFrame:
    source_of = dict(
        zip(
            reversed(metadata["layer_indices"]),
            reversed(metadata["source_layer_indices"]),
            strict=True,
        )
    )
    rows: list[dict[str, Any]] = []
    for place, records in cells.items():
        shown = (settings.target_metrics[place.emotion], FLUENCY)
        effects = effects_of(half, records, keys)
        where = {
            "model_name": metadata["model_name"],
            "source_model": metadata["source_model"],
            "emotion": place.emotion,
            "vector": place.kind,
            "number": place.number,
            "layer_a": source_of[place.layer],
            "layer": place.layer,
            "alpha": place.alpha,
            "cosine_own": cosines[place],
        }
        every = effect_rows(where, effects, keys, len(half.prompts))
        rows += [every[keys.index(key)] for key in shown]
    return _with_ranks(pd.DataFrame(rows))


def _with_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Say how many random vectors do as much as B's own and as A's, in the emotion's metric."""
    ranked = table.assign(p_random=np.nan, n_random=np.nan)
    of_metrics = table[table["metric_name"] != FLUENCY.replace("/", ".", 1)]
    for _, rows in of_metrics.groupby("emotion"):
        random = rows.loc[rows["vector"] == "mapped_random", "mean_diff"].to_numpy()
        for row in rows.index[rows["vector"] != "mapped_random"] if len(random) else ():
            reached = int((random >= table.loc[row, "mean_diff"]).sum())
            ranked.loc[row, "p_random"] = (1 + reached) / (1 + len(random))
            ranked.loc[row, "n_random"] = len(random)
    return ranked
