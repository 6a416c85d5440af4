"""Prompting as a baseline of steering: an instruction in front of the prompt, alone and with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.errors import unknown_name
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import Choice, Outcomes, Plan, join, run
from emotion_circuits.experiments.choice import HEADLINE, choose_conditions, headline_layers
from emotion_circuits.experiments.contract import read_residual_sweep
from emotion_circuits.experiments.directions import Vectors
from emotion_circuits.experiments.effects import (
    EFFECT_COLUMNS,
    LOSS_COLUMNS,
    SHARE_COLUMNS,
    effect_table,
    mean_shift,
    with_losses,
)
from emotion_circuits.experiments.imported_directions import Imported, with_imported
from emotion_circuits.experiments.instructions import instructed_line
from emotion_circuits.experiments.outcomes import FLUENCY, UNSTEERED
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.experiments.three_readings import three_readings
from emotion_circuits.interventions import BASELINE, Row
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.reporting import draw_readings

logger = logging.getLogger(__name__)

# Conditions of the three readings, in the order of the figure.
_SHOWN: Final = (
    *("headline", "last_layers", "steering_at_cost"),
    *("prompting", "both", "neutral_instruction"),
)
COLUMNS: Final = (
    *("emotion", "condition", "layer", "alpha"),
    *(*EFFECT_COLUMNS, *SHARE_COLUMNS, *LOSS_COLUMNS),
)
TEXT_COLUMNS: Final = ("prompt", "half", "emotion", "condition", "instruction", "text")


@needs_emotions("target_metrics")
def compare_prompting(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    emotion_vectors: Mapping[str, Any],
    emotion_subspaces: Mapping[str, Any],
    residual_sweep: Mapping[str, Any],
    emotions: EmotionSet,
    settings: SteeringSettings,
    imported_vectors: Imported | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Continue the same prompts after an instruction, and compare it with steering.

    The instruction stands in front of the prompt, or with ``chat`` in a user's message, which the
    model answers with a text that begins with the prompt. Conditions, each against the plain,
    unsteered prompt: ``steering`` at the headline's layer and strength; ``prompting``; ``both`` at
    once; ``neutral_instruction``, which asks for no emotion; and ``steering_at_cost``, the layer
    and strength with the largest effect that cost no more than prompting on the choosing half (if
    none does, the one that costs least). What a text costs is its negative log-likelihood after the
    plain prompt without an instruction, so that costs of all conditions mean the same.

    Returns:
        For each emotion, condition and score, its effect on the reporting half: ``COLUMNS``, as
        those of ``effect_table`` and ``with_losses``, with ``model_name``; and the instructed
        texts. Both are empty without instructions.

    Raises:
        InputError: If an instruction is for an emotion that the study does not have.
    """
    steered = read_residual_sweep(residual_sweep)
    for emotion in settings.instructions:
        if emotion not in emotions.names:
            raise unknown_name("emotion of instructions", emotion, emotions.names)
    if not settings.instructions:
        return pd.DataFrame(columns=["model_name", *COLUMNS]), pd.DataFrame(
            columns=list(TEXT_COLUMNS)
        )
    model = settings.placed(language_model)
    chosen = settings.choose(steered, emotions, model.n_layers)[HEADLINE]
    emotion_vectors = with_imported(emotion_vectors, imported_vectors, model, emotions)
    vectors = settings.injected(emotion_vectors, emotion_subspaces)
    places = steered.baseline.table.set_index("prompt")[["half", "cluster"]]
    plan = Plan.of(_lines(model, list(places.index), chosen, vectors, settings))
    instructed = run(
        model,
        text_evaluator,
        plan,
        settings.decoding(),
        fluency_after=[model.encode(prompt) for prompt in plan.coordinates["prompt"]],
        progress=f"{model.name} prompting",
    ).table
    instructed = instructed.join(places, on="prompt")
    parts = []
    for emotion in settings.instructions:
        own = Outcomes(
            instructed[instructed["emotion"].isin([emotion, ""])].assign(emotion=emotion)
        )
        at_cost = _at_cost(steered, own, emotion, emotions, model.n_layers, settings)
        compared = join(
            [
                steered.baseline,
                own,
                _steering(steered, emotion, chosen[emotion], "steering"),
                _steering(steered, emotion, at_cost, "steering_at_cost"),
            ]
        )
        effects = effect_table(
            compared,
            ["emotion", "kind", "layer", "alpha"],
            n_bootstrap=settings.n_bootstrap,
            seed=settings.seed,
            halves=("confirm",),
        )
        parts.append(with_losses(effects).rename(columns={"kind": "condition"}))
    table = pd.concat(parts, ignore_index=True)[list(COLUMNS)]
    table.insert(0, "model_name", model.name)
    texts = instructed.rename(columns={"kind": "condition"})[list(TEXT_COLUMNS)]
    return table, texts


def _lines(
    model: LanguageModel,
    prompts: list[str],
    chosen: Mapping[str, Choice],
    vectors: Vectors,
    settings: SteeringSettings,
) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Yield each prompt after the neutral instruction, and after each emotion's, twice."""
    for prompt in prompts:
        if settings.neutral_instruction:
            text = settings.neutral_instruction
            where = {"kind": "neutral_instruction", **UNSTEERED}
            yield instructed_line(model, prompt, text, BASELINE, where, settings)
        for emotion, text in settings.instructions.items():
            where = {"kind": "prompting", **UNSTEERED, "emotion": emotion}
            yield instructed_line(model, prompt, text, BASELINE, where, settings)
            at = chosen[emotion]
            ((condition, where),) = settings.steering().conditions(
                "both", emotion, at.layer, [vectors[emotion, at.layer]], [at.alpha]
            )
            yield instructed_line(model, prompt, text, condition, where, settings)


def _at_cost(
    steered: Outcomes,
    instructed: Outcomes,
    emotion: str,
    emotions: EmotionSet,
    n_layers: int,
    settings: SteeringSettings,
) -> Choice:
    """Choose the steering that moves the emotion most at no more than what prompting costs."""
    select = instructed.where(kind="prompting", half="select")
    baseline = steered.baseline.where(half="select")
    (cost,) = mean_shift(select, baseline, [FLUENCY]).tolist()
    of_emotion = join([steered.baseline, steered.where(kind="emotion", emotion=emotion)])
    return choose_conditions(
        of_emotion,
        emotions.target_metrics,
        max_fluency_loss=cost,
        layers=headline_layers(n_layers, settings.layers_up_to),
    )[emotion]


def _steering(steered: Outcomes, emotion: str, at: Choice, name: str) -> Outcomes:
    lines = steered.where(kind="emotion", emotion=emotion, layer=at.layer, alpha=at.alpha)
    return Outcomes(lines.table.assign(kind=name))


@needs_emotions("target_metrics")
def report_readings(
    residual_specificity: pd.DataFrame, residual_prompting: pd.DataFrame, emotions: EmotionSet
) -> tuple[pd.DataFrame, go.Figure]:
    """Show of each effect whether the text says the emotion's word or expresses it.

    Returns:
        The result of ``three_readings`` on the reporting half, for the choices of steering
        (``headline``, ``last_layers``) and the other conditions of prompting, in the order of
        ``_SHOWN``, with ``model_name``; and its figure.
    """
    model = residual_specificity["model_name"].iloc[0]
    targets = emotions.target_metrics
    table = pd.concat(
        [
            three_readings(residual_specificity, targets, condition="choice", emotion="steered"),
            three_readings(residual_prompting, targets, condition="condition"),
        ],
        ignore_index=True,
    )
    # The condition "steering" of prompting is the headline.
    places = table["condition"].map({name: place for place, name in enumerate(_SHOWN)})
    table = table.loc[places.dropna().sort_values(kind="stable").index].reset_index(drop=True)
    table.insert(0, "model_name", model)
    return table, draw_readings(table, emotions.names)
