"""Steering one model with another's emotion vectors."""

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
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.statistics import rank_p

# What steers: the model's own vector, the other model's, and random ones through the same map.
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
        emotions: The study's.
        settings: Phase 5's.

    Returns:
        One line per emotion, vector and of the emotion's own metric and fluency: ``model_name``,
        ``source_model``, ``emotion``, ``vector`` (one of ``KINDS``), ``number``, ``layer_a``,
        ``layer``, ``alpha``, ``cosine_own``, the effect as in phase 5's tables, and ``p_random``
        and ``n_random``: for the own metric under ``own`` and ``mapped``, the rank of the effect
        among those of ``mapped_random``, (1 + how many are at least as large) / (1 + how many
        there are).

    Raises:
        InputError: If B was not swept at any layer that A was mapped to.
    """
    model = settings.placed(language_model)
    outcomes = read_residual_sweep(residual_sweep)
    layers = mapped_vectors["metadata"]["layer_indices"]
    chosen = settings.choose(_at_layers(outcomes, layers, model.name), emotions)
    # The sweep may have been made with other layers than are set now.
    everywhere = settings.model_copy(update={"layers": "all"})
    own = everywhere.injected(emotion_vectors, emotion_subspaces)
    conditions: list[tuple[Condition, dict[str, Any]]] = [(BASELINE, {"kind": "baseline"})]
    cosines: dict[tuple[str, str, int], float] = {}
    for emotion, choice in chosen.items():
        vector = own[emotion, choice.layer]
        for kind, several in _vectors(mapped_vectors, emotion, choice.layer, vector, settings):
            scaled = [match_length(one, vector).direction for one in several]
            conditions += settings.steering().conditions(
                kind, emotion, choice.layer, scaled, [choice.alpha]
            )
            for draw, one in enumerate(scaled):
                cosines[emotion, kind, draw] = float(one @ vector / (vector @ vector))
    plan = cross(model, residual_sweep["halves"]["confirm"], conditions)
    found = run(
        model,
        text_evaluator,
        plan,
        settings.decoding(),
        known=outcomes,
        progress=f"{model.name} transfer",
    )
    effects = effect_table(
        Outcomes(found.table.assign(half="confirm")),
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
    place = mapped_vectors["metadata"]["layer_indices"].index(layer)
    random = mapped_vectors["random_vectors"][emotion][: settings.num_random, place]
    vectors = [[own], [mapped_vectors["emotion_vectors"][emotion][place]], list(random)]
    return list(zip(KINDS, vectors, strict=True))


def _at_layers(outcomes: Outcomes, layers: Sequence[int], model: str) -> Outcomes:
    """Leave out of a sweep what was done at other layers."""
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
    # Of two layers of A that lie on one of B, the first.
    layers = list(zip(metadata["layer_indices"], metadata["source_layer_indices"], strict=True))
    source_of = dict(reversed(layers))
    own = effects["emotion"].map(
        {emotion: metric_name(key) for emotion, key in emotions.target_metrics.items()}
    )
    shown = effects[(effects["metric_name"] == own) | (effects["metric_name"] == _FLUENCY)]
    table = shown.drop(columns="half").rename(columns={"kind": "vector", "draw": "number"})
    table.insert(3, "layer_a", table["layer"].map(source_of))
    places = zip(table["emotion"], table["vector"], table["number"], strict=True)
    table.insert(6, "cosine_own", [cosines[place] for place in places])
    table.insert(0, "source_model", metadata["source_model"])
    table.insert(0, "model_name", metadata["model_name"])
    return _with_ranks(table.reset_index(drop=True))


def _with_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Say how many random vectors do as much as B's own and as A's, in the emotion's metric."""
    ranked = table.assign(p_random=np.nan, n_random=np.nan)
    for _, lines in table[table["metric_name"] != _FLUENCY].groupby("emotion"):
        random = lines.loc[lines["vector"] == "mapped_random", "mean_diff"].to_numpy()
        for index in lines.index[lines["vector"] != "mapped_random"] if len(random) else ():
            effect = float(table.loc[index, "mean_diff"])
            ranked.loc[index, "p_random"] = float(rank_p(effect, random))
            ranked.loc[index, "n_random"] = len(random)
    return ranked
