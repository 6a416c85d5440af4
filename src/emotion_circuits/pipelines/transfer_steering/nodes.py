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
from emotion_circuits.experiments.choice import Choices
from emotion_circuits.experiments.contract import read_residual_sweep
from emotion_circuits.experiments.directions import (
    Controls,
    Vectors,
    covariance_controls,
    match_length,
    measured_activations,
    vector_norms,
)
from emotion_circuits.experiments.doses import Doses
from emotion_circuits.experiments.effects import with_losses
from emotion_circuits.experiments.imported_directions import warn_of_imported
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import BASELINE, Condition
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.prompts import CLUSTER, EmotionSet
from emotion_circuits.statistics import rank_p

# Steering vectors: the model's own, the other model's mapped one, mapped random ones, and random
# ones with the covariance of the model's own activations.
KINDS: Final = ("own", "mapped", "mapped_random", "covariance")
# For each kind of random vectors, the ending of the columns of the rank p among them.
_RANKS: Final = {"mapped_random": "random", "covariance": "covariance"}
_FLUENCY: Final = metric_name(FLUENCY)
_BY: Final = ("choice", "emotion", "kind", "draw", "layer", "alpha")


@needs_emotions("target_metrics")
def steer_with_mapped_vectors(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    mapped_vectors: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    residual_sweep: Mapping[str, Any],
    activations: Mapping[str, Any],
    emotions: EmotionSet,
    settings: SteeringSettings,
) -> pd.DataFrame:
    """Compare the effects of A's mapped vector, B's own vector and random vectors in B.

    Layer and strength are chosen by B's own sweep on one half of its prompts, among the layers that
    A was mapped to: once for the headline, and once among the last layers. Effects are measured on
    the other half. B's own vector is the direction that the sweep added at α = 1. All vectors have
    its length and the same decoding, so that they differ in direction only.

    Args:
        language_model: Model B.
        text_evaluator: The evaluator of the continuations.
        mapped_vectors: Phase 4's vectors of A in B's coordinates.
        emotion_vectors: Phase 3's vectors of B.
        emotion_subspaces: Phase 3's subspaces of B.
        residual_sweep: Phase 5's sweep of B.
        activations: Phase 2's activations of B, whose covariance random vectors have.
        emotions: The study's emotions.
        settings: Parameters of phase 5.

    Returns:
        One line per choice (``headline``, ``last_layers``), emotion, vector and metric (the
        emotion's target metric, and fluency): ``model_name``, ``source_model``, ``choice``,
        ``emotion``, ``vector`` (one of ``KINDS``), ``number``, ``layer_a``, ``layer``, ``alpha``,
        ``cosine_own``; the effect, its cost, ``relative_dose`` and ``share_wrong_way`` as in phase
        5's tables; and for the target metric under ``own`` and ``mapped`` ``p_random``, the rank p
        of the effect among the ``n_random`` effects of ``mapped_random``, and ``p_covariance``,
        that among the ``n_covariance`` effects of ``covariance``.

    Raises:
        InputError: If B was not swept at any layer that A was mapped to, or at none of the
            headline's.
    """
    model = settings.placed(language_model)
    warn_of_imported(residual_sweep)
    outcomes = read_residual_sweep(residual_sweep)
    layers = mapped_vectors["metadata"]["layer_indices"]
    choices = settings.choose(_at_layers(outcomes, layers, model.name), emotions, model.n_layers)
    # The sweep may have been run with other layers than the current settings.
    everywhere = settings.model_copy(update={"layers": "all"})
    all_own = everywhere.injected(emotion_vectors, emotion_subspaces)
    own = {
        (emotion, choice.layer): all_own[emotion, choice.layer]
        for by_emotion in choices.values()
        for emotion, choice in by_emotion.items()
    }
    controls = _covariance_controls(activations, emotion_vectors, own, emotions, settings)
    conditions, cosines = _conditions(mapped_vectors, own, controls, choices, settings)
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
    size = Doses.of(
        {**residual_sweep, "vector_norms": vector_norms(own)},
        removed=settings.operator == "project_out",
    )
    return _table(
        size.beside(with_losses(effects), emotions.target_metrics),
        cosines,
        mapped_vectors["metadata"],
        emotions,
    )


def _covariance_controls(
    activations: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    own: Vectors,
    emotions: EmotionSet,
    settings: SteeringSettings,
) -> Controls:
    """Draw B's random directions; they are those of phase 5 at the same layers."""
    pooled = measured_activations(activations, emotion_vectors, emotions, own)
    seeds = settings.covariance_seeds(own)
    return covariance_controls(pooled, own, seeds, split=emotion_vectors["metadata"]["split"])


def _conditions(
    mapped_vectors: Mapping[str, Any],
    own: Vectors,
    controls: Controls,
    choices: Choices,
    settings: SteeringSettings,
) -> tuple[list[tuple[Condition, dict[str, Any]]], dict[tuple[str, str, str, int], float]]:
    """Return the baseline and each vector's condition, and each vector's cosine with B's own."""
    conditions: list[tuple[Condition, dict[str, Any]]] = [(BASELINE, {"kind": "baseline"})]
    cosines: dict[tuple[str, str, str, int], float] = {}
    for name, by_emotion in choices.items():
        for emotion, choice in by_emotion.items():
            key = emotion, choice.layer
            vectors = _vectors(mapped_vectors, *key, own[key], settings)
            vectors["covariance"] = [control.direction for control in controls[key]]
            for kind, raw in vectors.items():
                scaled = [match_length(direction, own[key]) for direction in raw]
                directions = [control.direction for control in scaled]
                steered = settings.steering().conditions(kind, *key, directions, [choice.alpha])
                conditions += [(one, {**where, "choice": name}) for one, where in steered]
                for draw, control in enumerate(scaled):
                    cosines[name, emotion, kind, draw] = control.cosine
    return conditions, cosines


def _vectors(
    mapped_vectors: Mapping[str, Any],
    emotion: str,
    layer: int,
    own: np.ndarray,
    settings: SteeringSettings,
) -> dict[str, list[np.ndarray]]:
    index = mapped_vectors["metadata"]["layer_indices"].index(layer)
    random = mapped_vectors["random_vectors"][emotion][: settings.num_random, index]
    return {
        "own": [own],
        "mapped": [mapped_vectors["emotion_vectors"][emotion][index]],
        "mapped_random": list(random),
    }


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
    cosines: Mapping[tuple[str, str, str, int], float],
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
    table.insert(4, "layer_a", table["layer"].map(source_of))
    coordinates = (table[name] for name in ("choice", "emotion", "vector", "number"))
    vectors = zip(*coordinates, strict=True)
    table.insert(7, "cosine_own", [cosines[vector] for vector in vectors])
    table.insert(0, "source_model", metadata["source_model"])
    table.insert(0, "model_name", metadata["model_name"])
    return _with_ranks(table.reset_index(drop=True))


def _with_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Add rank p-values of B's own and A's mapped vector among each kind of random vectors."""
    empty = {f"{of}_{name}": np.nan for name in _RANKS.values() for of in ("p", "n")}
    ranked = table.assign(**empty)
    for _, lines in table[table["metric_name"] != _FLUENCY].groupby(["choice", "emotion"]):
        for kind, name in _RANKS.items():
            random = lines.loc[lines["vector"] == kind, "mean_diff"].to_numpy()
            for index in lines.index[~lines["vector"].isin(_RANKS)] if len(random) else ():
                effect = float(table.loc[index, "mean_diff"])
                ranked.loc[index, f"p_{name}"] = float(rank_p(effect, random))
                ranked.loc[index, f"n_{name}"] = len(random)
    return ranked
