"""Phase 6, first part: ablation and scores of every head."""

from typing import Any

import pandas as pd

from emotion_circuits.circuits.emotion_targets import marking_tokens, vector_site
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import FLUENCY
from emotion_circuits.experiments.contract import nest_head_scores
from emotion_circuits.experiments.head_sets import POOLED
from emotion_circuits.experiments.heads import Head
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.layer_choice import layer_numbers
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.pipelines.head_screening.ablations import (
    AblationEffects,
    ablate_each_head,
    ablation_values,
)
from emotion_circuits.pipelines.head_screening.readings import (
    read_attributions,
    read_cue_attention,
    read_writes,
)
from emotion_circuits.pipelines.head_screening.settings import HeadScreeningSettings
from emotion_circuits.pipelines.head_screening.tables import BOTH, agreement_table, score_table
from emotion_circuits.prompts import EmotionSet


@needs_emotions("target_metrics", "marking_words")
def screen_heads(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    prompts: pd.DataFrame,
    emotion_vectors: dict[str, Any],
    emotions: EmotionSet,
    settings: HeadScreeningSettings,
    profile: str,
    checkpoint: Checkpoint | None = None,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Score every head of a model, or of some layers.

    Args:
        language_model: The model.
        text_evaluator: The evaluator of continuations.
        prompts: Phase 1's table.
        emotion_vectors: Phase 3's vectors.
        emotions: The study's emotions.
        settings: Parameters of head screening.
        profile: The profile's name.
        checkpoint: File that keeps finished rows of a killed run.

    Returns:
        The effects of ablation and their samples, in the form of the file; a table of all scores,
        with one line per head, emotion and half; and a table of how well scores without
        generation predict the effects of ablation.

    Raises:
        InputError: If a layer or metric does not exist, or a pair is incomplete.
    """
    emotions.check_metrics(text_evaluator.keys)
    for metric in settings.metrics or ():
        if metric not in text_evaluator.keys:
            raise unknown_name("metric", metric, text_evaluator.keys, where="the evaluators")
    heads = heads_of(language_model, settings)
    marking = marking_tokens(language_model, emotions)
    site = vector_site(emotion_vectors, settings.vector_layer)
    data = settings.paired_prompts(language_model, prompts, emotions)
    values = ablation_values(data, settings.ablations, settings.batch_size)
    effects = ablate_each_head(data, text_evaluator, values, marking, heads, settings, checkpoint)
    last, after, uniform = read_cue_attention(data, heads, settings.batch_size)
    readings = {
        "writes": read_writes(data, site, heads, settings.batch_size),
        "cue_attention_last": last,
        "cue_attention_after": after,
        "attributions": read_attributions(data, site, marking, values, heads, settings.batch_size),
    }
    table = score_table(data, effects, readings, settings)
    table["cue_attention_uniform"] = float(pd.Series(uniform).mean())
    scores = {
        "profile": profile,
        "model": data.model.name,
        "sequence_length": settings.sequence_length,
        **_effects_file(effects, emotions, settings),
        "fluency_loss_reference": _references(table),
    }
    return scores, table, agreement_table(table, settings)


def _references(table: pd.DataFrame) -> dict[str, float]:
    """Give what the lost emotion alone costs, in nats per token, by label."""
    both = table[(table["half"] == BOTH) & (table["emotion"] != POOLED)]
    costs = both.groupby("emotion", sort=False)["fluency_loss_reference"].first()
    return {str(emotion): float(cost) for emotion, cost in costs.items()}


def _effects_file(
    effects: AblationEffects, emotions: EmotionSet, settings: HeadScreeningSettings
) -> dict[str, Any]:
    targets = list(emotions.target_metrics.values())
    listed = [
        metric
        for metric in effects.outcomes.metrics
        if settings.metrics is None or metric in (*settings.metrics, *targets)
    ]
    return nest_head_scores(
        effects.outcomes,
        targets=[*targets, FLUENCY],
        metrics=[*listed, FLUENCY],
        labels=emotions.labels,
    )


def heads_of(model: LanguageModel, settings: HeadScreeningSettings) -> list[Head]:
    """Return the heads to screen.

    Raises:
        InputError: If a layer does not exist.
    """
    layers = sorted(layer_numbers(settings.layers, model.n_layers))
    for layer in layers:
        if layer >= model.n_layers:
            raise InputError(
                f"layer {layer} is out of range for model {model.name!r}; allowed are 0 to "
                f"{model.n_layers - 1}"
            )
    return [Head(layer, head) for layer in layers for head in range(model.n_heads)]
