"""Phase 5: sweep emotions, sweep controls, and say what came of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.datasets.records import PromptSource
from emotion_circuits.emotions import EMOTIONS
from emotion_circuits.errors import unknown_name
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.interventions import BASELINE, Checkpoint, Condition
from emotion_circuits.language_models import LanguageModel, resolve_device
from emotion_circuits.pipelines.residual_patching.conditions import Place, build_conditions
from emotion_circuits.pipelines.residual_patching.control_tables import (
    control_table,
    selection_table,
)
from emotion_circuits.pipelines.residual_patching.controls import (
    describe_controls,
    draw_controls,
    other_seeds,
    wanted_controls,
)
from emotion_circuits.pipelines.residual_patching.directions import (
    Vectors,
    project,
    vectors_at,
)
from emotion_circuits.pipelines.residual_patching.figure import (
    draw_dose_response,
    draw_specificity,
)
from emotion_circuits.pipelines.residual_patching.prompts import choose_prompts, split_halves
from emotion_circuits.pipelines.residual_patching.results import (
    cell_as_records,
    cell_by_prompt,
    nest_controls,
    nest_emotions,
    records_of,
    texts_of,
)
from emotion_circuits.pipelines.residual_patching.scoring import KnownTexts, run_conditions
from emotion_circuits.pipelines.residual_patching.selection import Choice, choose_conditions
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings
from emotion_circuits.pipelines.residual_patching.tables import (
    dose_response_table,
    score_table,
    specificity_table,
)

logger = logging.getLogger(__name__)


def sweep_emotions(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    prompts: pd.DataFrame,
    fresh_prompts: PromptSource,
    checkpoint: Checkpoint,
    profile: str,
    settings: ResidualPatchingSettings,
) -> dict[str, Any]:
    """Continue neutral prompts under every emotion, layer and strength, and score them.

    Returns:
        ``profile``, ``model``, ``prompts``; ``baseline`` and, by emotion, layer and strength,
        ``sweep_results``, each with ``texts`` (continuations), ``metrics``, ``fluency`` (nats per
        token under the unpatched model) and ``token_ids`` by prompt; ``alpha_values``,
        ``patch_window``, ``sequence_length``; ``halves`` of the prompts; ``vector_norms`` (of
        what is added at α = 1); ``metadata``.

    Raises:
        InputError: If vectors, layers, prompts or target metrics are not there or do not fit.
    """
    for key in settings.target_metrics.values():  # before hours of generation, not after
        if key not in text_evaluator.keys:
            raise unknown_name("target metric", key, text_evaluator.keys)
    model = _placed(language_model, settings)
    chosen = choose_prompts(prompts, fresh_prompts, settings)
    vectors = _injected(emotion_vectors, emotion_subspaces, settings)
    table: dict[Place, Condition] = {}
    for (emotion, layer), vector in vectors.items():
        table |= build_conditions(
            "emotion", emotion, layer, [vector], alphas=settings.alphas, settings=settings
        )
    scored = run_conditions(
        model,
        text_evaluator,
        chosen,
        [BASELINE, *table.values()],
        settings=settings,
        seed=settings.seed,
        checkpoint=checkpoint,
    )
    logger.info("%s: %d conditions on %d prompts", model.name, len(scored), len(chosen))
    return {
        "profile": profile,
        "model": model.name,
        "prompts": chosen,
        "baseline": cell_by_prompt(scored[BASELINE.name]),
        "sweep_results": nest_emotions(scored, table),
        "alpha_values": sorted(map(float, settings.alphas)),
        "patch_window": settings.window,
        "sequence_length": settings.sequence_length,
        "halves": split_halves(chosen, settings.seed)._asdict(),
        "vector_norms": _norms(vectors),
        "metadata": settings.model_dump() | {"device": str(model.device)},
    }


def sweep_controls(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    activations: Mapping[str, Any],
    residual_sweep: Mapping[str, Any],
    checkpoint: Checkpoint,
    settings: ResidualPatchingSettings,
) -> dict[str, Any]:
    """Continue the same prompts, decoded alike, under directions that should do nothing.

    Returns:
        ``profile``, ``model``, ``alpha_values``, ``num_random``, ``num_shuffled``; by emotion,
        layer, index and strength ``random_results`` and ``shuffled_results``, and by emotion,
        layer and strength ``emotion_results``: lists of ``prompt``, ``text``, ``metrics`` and
        ``fluency``; ``baseline``, likewise; ``reseeded_results`` (the baseline with other seeds,
        when sampling); ``controls``: seed, length before matching and cosine with the emotion
        vector of each direction; ``vector_norms``: the length of each, and of the vector.
    """
    model = _placed(language_model, settings)
    vectors = _injected(emotion_vectors, emotion_subspaces, settings)
    wanted = wanted_controls(vectors, choose_conditions(residual_sweep, settings), settings)
    controls = draw_controls(wanted.vectors, activations, emotion_vectors, settings)
    tables: dict[str, dict[Place, Condition]] = {"random": {}, "shuffled": {}}
    for kind, of_kind in controls.items():
        for (emotion, layer), drawn in of_kind.items():
            tables[kind] |= build_conditions(
                kind,
                emotion,
                layer,
                [control.direction for control in drawn],
                alphas=wanted.alphas[emotion],
                settings=settings,
            )
    shared: dict[str, Any] = {
        "settings": settings,
        "checkpoint": checkpoint,
        "known": KnownTexts(texts_of(residual_sweep)),
    }
    prompts = residual_sweep["prompts"]
    conditions = [condition for table in tables.values() for condition in table.values()]
    scored = run_conditions(
        model, text_evaluator, prompts, conditions, seed=settings.seed, **shared
    )
    reseeded = [
        run_conditions(model, text_evaluator, prompts, [BASELINE], seed=seed, **shared)
        for seed in other_seeds(settings)
    ]
    logger.info("%s: %d control conditions on %d prompts", model.name, len(scored), len(prompts))
    return {
        "profile": residual_sweep["profile"],
        "model": model.name,
        "alpha_values": residual_sweep["alpha_values"],
        "num_random": settings.num_random,
        "num_shuffled": settings.num_shuffled,
        "random_results": nest_controls(scored, tables["random"]),
        "shuffled_results": nest_controls(scored, tables["shuffled"]),
        "emotion_results": _emotion_records(residual_sweep),
        "baseline": records_of(residual_sweep["baseline"], prompts),
        "reseeded_results": [cell_as_records(run[BASELINE.name]) for run in reseeded],
        "controls": {kind: describe_controls(of_kind) for kind, of_kind in controls.items()},
        "vector_norms": _norms(vectors),
        "metadata": settings.model_dump() | {"device": str(model.device)},
    }


class Report(NamedTuple):
    """What is to be read of the phase."""

    scores: pd.DataFrame
    doses: pd.DataFrame
    specificity: pd.DataFrame
    controls: pd.DataFrame
    selection: pd.DataFrame
    dose_figure: go.Figure
    specificity_figure: go.Figure


def report_residual_patching(
    residual_sweep: Mapping[str, Any],
    random_sweep: Mapping[str, Any],
    settings: ResidualPatchingSettings,
) -> Report:
    """Choose a layer and strength per emotion on one half of the prompts, report on the other.

    Returns:
        Tables and figures; each table's function says what its columns are.
    """
    choices = choose_conditions(residual_sweep, settings)
    _warn_of_edges(choices, settings)
    doses = dose_response_table(residual_sweep, settings)
    specificity = specificity_table(residual_sweep, choices, settings)
    controls = control_table(residual_sweep, random_sweep, settings)
    targets = {
        emotion: settings.target_metrics[emotion].replace("/", ".", 1) for emotion in EMOTIONS
    }
    return Report(
        score_table(residual_sweep),
        doses,
        specificity,
        controls,
        selection_table(residual_sweep, choices, controls, settings),
        draw_dose_response(doses, controls, targets),
        draw_specificity(specificity, targets),
    )


def _warn_of_edges(choices: Mapping[str, Choice], settings: ResidualPatchingSettings) -> None:
    largest = max(map(float, settings.alphas))
    beyond = [emotion for emotion, choice in choices.items() if choice.alpha == largest]
    if beyond and len(settings.alphas) > 1:
        logger.warning(
            "the largest of the strengths, %g, was chosen for %s; better ones may lie beyond",
            largest,
            ", ".join(beyond),
        )


def _placed(model: LanguageModel, settings: ResidualPatchingSettings) -> LanguageModel:
    return model if settings.device is None else model.on(resolve_device(settings.device))


def _injected(
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    settings: ResidualPatchingSettings,
) -> Vectors:
    """Give what α = 1 adds: the emotion vector, or the part of it in the emotion's subspace."""
    vectors = vectors_at(emotion_vectors, settings.layers, settings.hook_point)
    if settings.operator != "subspace":
        return vectors
    subspaces = emotion_subspaces["subspaces"]
    return {
        (emotion, layer): project(
            vector, subspaces[emotion][layer]["components"][: settings.subspace_rank]
        )
        for (emotion, layer), vector in vectors.items()
    }


def _emotion_records(sweep: Mapping[str, Any]) -> dict[str, Any]:
    return {
        emotion: {
            layer: {alpha: records_of(cell, sweep["prompts"]) for alpha, cell in alphas.items()}
            for layer, alphas in layers.items()
        }
        for emotion, layers in sweep["sweep_results"].items()
    }


def _norms(vectors: Vectors) -> dict[str, dict[int, float]]:
    norms: dict[str, dict[int, float]] = {}
    for (emotion, layer), vector in vectors.items():
        norms.setdefault(emotion, {})[layer] = float(np.linalg.norm(vector))
    return norms
