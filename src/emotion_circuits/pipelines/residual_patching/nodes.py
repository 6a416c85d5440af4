"""Phase 5: sweep of emotions, sweep of controls, and report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import (
    Choice,
    Outcomes,
    cross,
    join,
    metric_name,
    run,
)
from emotion_circuits.experiments.choice import (
    HEADLINE,
    check_headline_layers,
    headline_layers,
)
from emotion_circuits.experiments.contract import (
    nest_random_sweep,
    nest_residual_sweep,
    read_random_sweep,
    read_residual_sweep,
)
from emotion_circuits.experiments.directions import (
    Controls,
    describe_controls,
    vector_norms,
)
from emotion_circuits.experiments.doses import Doses, residual_norms
from emotion_circuits.experiments.effects import in_halves
from emotion_circuits.experiments.imported_directions import (
    Imported,
    describe_imported,
    with_imported,
)
from emotion_circuits.experiments.side_effects import side_effect_table
from emotion_circuits.experiments.steering import UNSTEERED_CONDITION
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import BASELINE, Checkpoint
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.pipelines.residual_patching.controls import (
    control_conditions,
    controlled_vectors,
    draw_controls,
    other_seeds,
)
from emotion_circuits.pipelines.residual_patching.tables import (
    control_table,
    dose_response_table,
    score_table,
    selection_table,
    specificity_table,
)
from emotion_circuits.prompts import (
    EmotionSet,
    PromptSource,
    choose_neutral,
    clusters_of,
)
from emotion_circuits.reporting import draw_dose_response, draw_specificity

logger = logging.getLogger(__name__)

_RANDOM = ("random", "covariance")


@needs_emotions("target_metrics")
def sweep_emotions(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    prompts: pd.DataFrame,
    fresh_prompts: PromptSource,
    checkpoint: Checkpoint,
    profile: str,
    emotions: EmotionSet,
    settings: SteeringSettings,
    imported_vectors: Imported | None = None,
) -> dict[str, Any]:
    """Continue neutral prompts under every emotion, layer and strength, and score them.

    Returns:
        ``profile``, ``model``, ``prompts``; ``baseline`` and, by emotion, layer and strength,
        ``sweep_results``, each with ``texts`` (continuations), ``metrics``, ``fluency`` (nats per
        token under the unpatched model) and ``token_ids`` by prompt; ``alpha_values``,
        ``patch_window``, ``sequence_length``; ``halves`` of the prompts, which share no cluster;
        ``clusters`` by prompt; ``vector_norms`` of the directions added at α = 1;
        ``residual_norms``: by layer, the median length of the unsteered residual stream at the
        positions that are steered; ``metadata``.

    Raises:
        InputError: If vectors (the study's or imported ones), layers, prompts or target metrics are
            missing or do not match, or if an emotion has no steered layer of the headline.
    """
    emotions.check_metrics(text_evaluator.keys)  # before hours of generation, not after
    model = settings.placed(language_model)
    chosen = choose_neutral(
        prompts,
        fresh_prompts,
        emotions,
        split=settings.split,
        limit=settings.max_samples_per_emotion,
    )
    emotion_vectors = with_imported(emotion_vectors, imported_vectors, model, emotions)
    vectors = settings.injected(emotion_vectors, emotion_subspaces)
    layers = sorted({layer for _, layer in vectors})
    for steered in emotions.names:
        own = [layer for emotion, layer in vectors if emotion == steered]
        check_headline_layers(own, model.n_layers, settings.layers_up_to)
    steering = settings.steering()
    conditions = [UNSTEERED_CONDITION]
    for (emotion, layer), vector in vectors.items():
        conditions += steering.conditions("emotion", emotion, layer, [vector], settings.alphas)
    outcomes = run(
        model,
        text_evaluator,
        cross(model, list(chosen), conditions),
        settings.decoding(),
        checkpoint=checkpoint,
        progress=f"{model.name} sweep",
    )
    logger.info("%s: %d conditions on %d prompts", model.name, len(conditions), len(chosen))
    placed = in_halves(outcomes, chosen, settings.seed)
    unsteered = outcomes.baseline.table
    norms = residual_norms(
        model,
        unsteered["prompt"].tolist(),
        unsteered["token_ids"].tolist(),
        steering,
        layers,
        batch_size=settings.batch_size,
    )
    return {
        "profile": profile,
        "model": model.name,
        **nest_residual_sweep(placed),
        "alpha_values": sorted(map(float, settings.alphas)),
        "patch_window": settings.window,
        "sequence_length": settings.sequence_length,
        "vector_norms": vector_norms(vectors),
        "residual_norms": norms,
        "metadata": _metadata(model, emotions, settings) | describe_imported(imported_vectors),
    }


@needs_emotions("target_metrics")
def sweep_controls(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    activations: Mapping[str, Any],
    residual_sweep: Mapping[str, Any],
    checkpoint: Checkpoint,
    emotions: EmotionSet,
    settings: SteeringSettings,
    imported_vectors: Imported | None = None,
) -> dict[str, Any]:
    """Continue the same prompts under control directions, with the same decoding.

    Returns:
        ``profile``, ``model``, ``alpha_values``, ``num_random``, ``num_covariance``,
        ``num_shuffled``; the results of ``nest_random_sweep``, with ``emotion_results`` at the
        layers and strengths of controls and ``reseeded_results`` only for sampling; ``controls``:
        each direction's seed, length, length before matching, and cosine with the emotion vector;
        ``vector_norms`` of the directions added at α = 1; ``metadata``.
    """
    model = settings.placed(language_model)
    steered = read_residual_sweep(residual_sweep)
    choices = settings.choose(steered, emotions, model.n_layers)
    emotion_vectors = with_imported(emotion_vectors, imported_vectors, model, emotions)
    vectors = settings.injected(emotion_vectors, emotion_subspaces)
    wanted = controlled_vectors(vectors, choices, settings)
    controls = draw_controls(wanted, activations, emotion_vectors, emotions, settings)
    conditions = list(control_conditions(controls, choices, settings))
    prompts = residual_sweep["prompts"]
    if settings.random_prompts == "confirm":
        prompts = residual_sweep["halves"]["confirm"]
    outcomes = [
        run(
            model,
            text_evaluator,
            cross(model, prompts, conditions),
            settings.decoding(),
            checkpoint=checkpoint,
            known=steered,
            progress=f"{model.name} controls",
        )
    ]
    for draw, seed in enumerate(other_seeds(settings)):
        again = (BASELINE, {**UNSTEERED_CONDITION[1], "kind": "reseeded", "draw": draw})
        plan = cross(model, prompts, [again])
        decoding = settings.decoding(seed)
        outcomes.append(
            run(model, text_evaluator, plan, decoding, checkpoint=checkpoint, known=steered)
        )
    logger.info("%s: %d controls on %d prompts", model.name, len(conditions), len(prompts))
    return {
        "profile": residual_sweep["profile"],
        "model": model.name,
        "alpha_values": residual_sweep["alpha_values"],
        "num_random": settings.num_random,
        "num_covariance": settings.num_covariance,
        "num_shuffled": settings.num_shuffled,
        **nest_random_sweep(join([_matching_controls(steered, conditions), *outcomes])),
        "controls": {kind: describe_controls(of_kind) for kind, of_kind in controls.items()},
        "vector_norms": vector_norms(vectors),
        "metadata": _metadata(model, emotions, settings) | describe_imported(imported_vectors),
    }


def _matching_controls(steered: Outcomes, conditions: list[Any]) -> Outcomes:
    """Select the baseline, and the emotions' texts at the layers and strengths of controls."""
    run_at = {(where["emotion"], where["layer"], where["alpha"]) for _, where in conditions}
    table = steered.table
    coordinates = zip(table["emotion"], table["layer"], table["alpha"], strict=True)
    kept = np.array([condition in run_at for condition in coordinates])
    return Outcomes(table[(table["kind"] == "baseline").to_numpy() | kept])


@needs_emotions("target_metrics")
def measure_side_effects(
    language_model: LanguageModel,
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    activations: Mapping[str, Any],
    prompts: pd.DataFrame,
    residual_sweep: Mapping[str, Any],
    emotions: EmotionSet,
    settings: SteeringSettings,
    imported_vectors: Imported | None = None,
) -> pd.DataFrame:
    """Measure what the chosen steering does to the prediction of neutral texts.

    Returns:
        The result of ``side_effect_table`` for each emotion at the headline's layer and strength
        (kind ``emotion``), and for random directions of the same length there (kinds ``random``
        and ``covariance``), with ``model_name``. Empty with a window, which moves with the text
        that is generated, and without neutral test texts.
    """
    model = settings.placed(language_model)
    outcomes = read_residual_sweep(residual_sweep)
    chosen = settings.choose(outcomes, emotions, model.n_layers)[HEADLINE]
    emotion_vectors = with_imported(emotion_vectors, imported_vectors, model, emotions)
    vectors = settings.injected(emotion_vectors, emotion_subspaces)
    own = {(emotion, at.layer): vectors[emotion, at.layer] for emotion, at in chosen.items()}
    drawn = draw_controls(own, activations, emotion_vectors, emotions, settings)
    conditions = [
        item
        for (emotion, layer), vector in own.items()
        for kind, directions in (
            ("emotion", [vector]),
            *((kind, _first(drawn[kind], emotion, layer, settings)) for kind in _RANDOM),
        )
        for item in settings.steering().conditions(
            kind, emotion, layer, directions, [chosen[emotion].alpha]
        )
    ]
    plain = prompts[(prompts["emotion"] == emotions.neutral) & (prompts["split"] == "test")]
    plain = plain.head(settings.side_effect_texts)
    if settings.window is not None or plain.empty:
        logger.info("%s: side effects are not measured", model.name)
        conditions = []
    table = side_effect_table(
        model,
        plain["text"].tolist(),
        clusters_of(plain).tolist(),
        conditions,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
    )
    table.insert(0, "model_name", model.name)
    return table


def _first(
    controls: Controls, emotion: str, layer: int, settings: SteeringSettings
) -> list[np.ndarray]:
    drawn = controls.get((emotion, layer), [])[: settings.side_effect_random]
    return [control.direction for control in drawn]


class Report(NamedTuple):
    """Tables and figures of the phase."""

    scores: pd.DataFrame
    doses: pd.DataFrame
    specificity: pd.DataFrame
    controls: pd.DataFrame
    selection: pd.DataFrame
    dose_figure: go.Figure
    specificity_figure: go.Figure


@needs_emotions("target_metrics")
def report_residual_patching(
    residual_sweep: Mapping[str, Any],
    random_sweep: Mapping[str, Any],
    emotions: EmotionSet,
    settings: SteeringSettings,
) -> Report:
    """Choose a layer and strength per emotion on one half of the prompts, report on the other.

    Returns:
        Tables and figures; the functions of the tables document their columns.

    Raises:
        InputError: If the sweep has no number of layers of the model.
    """
    outcomes, model = read_residual_sweep(residual_sweep), residual_sweep["model"]
    targets = emotions.target_metrics
    n_layers = _n_layers(residual_sweep)
    choices = settings.choose(outcomes, emotions, n_layers)
    _warn_of_edges(choices[HEADLINE], settings)
    size = Doses.of(residual_sweep, removed=settings.operator == "project_out")
    doses = dose_response_table(outcomes, targets, size, settings)
    specificity = specificity_table(doses, choices, targets)
    drawn = read_random_sweep(random_sweep)
    controls = control_table(outcomes.baseline, drawn, targets, size, settings)
    n_select = len(residual_sweep["halves"]["select"])
    selection = selection_table(doses, choices, controls, targets, n_select)
    for table in (doses, specificity, controls, selection):
        table.insert(0, "model_name", model)
    names = {emotion: metric_name(targets[emotion]) for emotion in emotions.names}
    return Report(
        score_table(outcomes, model),
        doses,
        specificity,
        controls,
        selection,
        draw_dose_response(
            doses, controls, names, headline_layers(n_layers, settings.layers_up_to)
        ),
        draw_specificity(specificity, names),
    )


def _n_layers(residual_sweep: Mapping[str, Any]) -> int:
    """Return the number of layers of the model that was steered."""
    n_layers = (residual_sweep.get("metadata") or {}).get("n_layers")
    if n_layers is None:
        raise InputError(
            f"{residual_sweep['model']}.residual_sweep was made before the headline left out the "
            "last layers, and does not say how many layers the model has; delete it and run "
            "--pipelines=residual_patching again"
        )
    return int(n_layers)


def _warn_of_edges(choices: Mapping[str, Choice], settings: SteeringSettings) -> None:
    largest = max(map(float, settings.alphas))
    beyond = [emotion for emotion, choice in choices.items() if choice.alpha == largest]
    if beyond and len(settings.alphas) > 1:
        logger.warning(
            "the largest of the strengths, %g, was chosen for %s; better ones may lie beyond",
            largest,
            ", ".join(beyond),
        )


def _metadata(
    model: LanguageModel, emotions: EmotionSet, settings: SteeringSettings
) -> dict[str, Any]:
    return settings.model_dump() | {
        "target_metrics": dict(emotions.target_metrics),
        "device": str(model.device),
        "n_layers": model.n_layers,
    }
