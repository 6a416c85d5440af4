"""Steering of one model with another's mapped emotion vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import (
    FLUENCY,
    Outcomes,
    cross,
    effect_table,
    metric_name,
    run,
)
from emotion_circuits.experiments.contract import read_residual_sweep
from emotion_circuits.experiments.directions import match_length
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import BASELINE, Condition
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.prompts import CLUSTER, EmotionSet
from emotion_circuits.statistics import rank_p

# Steering vectors: the model's own, the other model's mapped one, and mapped random ones.
KINDS: Final = ("own", "mapped", "mapped_random")
_FLUENCY: Final = metric_name(FLUENCY)
_BY: Final = ("emotion", "kind", "draw", "layer", "alpha")


@needs_emotions("target_metrics")
def steer_with_mapped_vectors(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    mapped_vectors: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    residual_sweep: Mapping[str, Any],
    emotions: EmotionSet,
    settings: SteeringSettings,
) -> pd.DataFrame:
    """Compare the effects of A's mapped vector, B's own vector and mapped random vectors in B.

    Layer and strength are chosen by B's own sweep on one half of its prompts, among the layers that
    A was mapped to; effects are measured on the other half. B's own vector is the direction that
    the sweep added at α = 1. All vectors have its length and the same decoding, so that they
    differ in direction only.

    Args:
        language_model: Model B.
        text_evaluator: The evaluator of the continuations.
        mapped_vectors: Phase 4's vectors of A in B's coordinates.
        emotion_vectors: Phase 3's vectors of B.
        emotion_subspaces: Phase 3's subspaces of B.
        residual_sweep: Phase 5's sweep of B.
        emotions: The study's emotions.
        settings: Parameters of phase 5.

    Returns:
        One line per emotion, vector and metric (the emotion's target metric, and fluency):
        ``model_name``, ``source_model``, ``emotion``, ``vector`` (one of ``KINDS``), ``number``,
        ``layer_a``, ``layer``, ``alpha``, ``cosine_own``, the effect as in phase 5's tables, and
        for the target metric under ``own`` and ``mapped`` ``p_random``, the rank p of the effect
        among the ``n_random`` effects of ``mapped_random``.

    Raises:
        InputError: If B was not swept at any layer that A was mapped to.
    """
    model = settings.placed(language_model)
    outcomes = read_residual_sweep(residual_sweep)
    layers = mapped_vectors["metadata"]["layer_indices"]
    chosen = settings.choose(_at_layers(outcomes, layers, model.name), emotions)
    # The sweep may have been run with other layers than the current settings.
    everywhere = settings.model_copy(update={"layers": "all"})
    own = everywhere.injected(emotion_vectors, emotion_subspaces)
    conditions: list[tuple[Condition, dict[str, Any]]] = [(BASELINE, {"kind": "baseline"})]
    cosines: dict[tuple[str, str, int], float] = {}
    for emotion, choice in chosen.items():
        vector = own[emotion, choice.layer]
        for kind, raw in _vectors(mapped_vectors, emotion, choice.layer, vector, settings):
            scaled = [match_length(direction, vector).direction for direction in raw]
            conditions += settings.steering().conditions(
                kind, emotion, choice.layer, scaled, [choice.alpha]
            )
            for draw, direction in enumerate(scaled):
                cosines[emotion, kind, draw] = float(direction @ vector / (vector @ vector))
    plan = cross(model, residual_sweep["halves"]["confirm"], conditions)
    steered = run(
        model,
        text_evaluator,
        plan,
        settings.decoding(),
        known=outcomes,
        progress=f"{model.name} transfer",
    )
    cluster_of = dict(zip(outcomes.table["prompt"], outcomes.table[CLUSTER], strict=True))
    clusters = steered.table["prompt"].map(cluster_of)
    effects = effect_table(
        Outcomes(steered.table.assign(half="confirm", cluster=clusters)),
        _BY,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        halves=["confirm"],
    )
    return _table(effects, cosines, mapped_vectors["metadata"], emotions)


def _vectors(
    mapped_vectors: Mapping[str, Any],
    emotion: str,
    layer: int,
    own: np.ndarray,
    settings: SteeringSettings,
) -> list[tuple[str, list[np.ndarray]]]:
    index = mapped_vectors["metadata"]["layer_indices"].index(layer)
    random = mapped_vectors["random_vectors"][emotion][: settings.num_random, index]
    vectors = [[own], [mapped_vectors["emotion_vectors"][emotion][index]], list(random)]
    return list(zip(KINDS, vectors, strict=True))


def _at_layers(outcomes: Outcomes, layers: Sequence[int], model: str) -> Outcomes:
    """Select the baseline and the steered texts at some layers."""
    kept = outcomes.where(kind="emotion", layer=list(layers)).table
    steered = outcomes.where(kind="emotion").table
    for emotion in steered["emotion"].unique():
        if emotion not in set(kept["emotion"]):
            had = ", ".join(map(str, steered["layer"].unique()))
            raise InputError(
                f"{model} was steered at layer {had} only, and mapped vectors are of "
                f"layers {', '.join(map(str, layers))}; put one of these into "
                "residual_patching.layers"
            )
    return Outcomes(pd.concat([outcomes.baseline.table, kept]))


def _table(
    effects: pd.DataFrame,
    cosines: Mapping[tuple[str, str, int], float],
    metadata: Mapping[str, Any],
    emotions: EmotionSet,
) -> pd.DataFrame:
    # If two layers of A are mapped to one layer of B, the first one is shown.
    layers = list(zip(metadata["layer_indices"], metadata["source_layer_indices"], strict=True))
    source_of = dict(reversed(layers))
    own = effects["emotion"].map(
        {emotion: metric_name(key) for emotion, key in emotions.target_metrics.items()}
    )
    shown = effects[(effects["metric_name"] == own) | (effects["metric_name"] == _FLUENCY)]
    table = shown.drop(columns="half").rename(columns={"kind": "vector", "draw": "number"})
    table.insert(3, "layer_a", table["layer"].map(source_of))
    vectors = zip(table["emotion"], table["vector"], table["number"], strict=True)
    table.insert(6, "cosine_own", [cosines[vector] for vector in vectors])
    table.insert(0, "source_model", metadata["source_model"])
    table.insert(0, "model_name", metadata["model_name"])
    return _with_ranks(table.reset_index(drop=True))


def _with_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Add rank p-values of B's own and A's mapped vector among mapped random vectors."""
    ranked = table.assign(p_random=np.nan, n_random=np.nan)
    for _, lines in table[table["metric_name"] != _FLUENCY].groupby("emotion"):
        random = lines.loc[lines["vector"] == "mapped_random", "mean_diff"].to_numpy()
        for index in lines.index[lines["vector"] != "mapped_random"] if len(random) else ():
            effect = float(table.loc[index, "mean_diff"])
            ranked.loc[index, "p_random"] = float(rank_p(effect, random))
            ranked.loc[index, "n_random"] = len(random)
    return ranked
