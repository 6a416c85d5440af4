"""Continuations of a trained language model, scored by a trained evaluator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from emotion_circuits.embedded_world.emotions import WORLD_EMOTIONS
from emotion_circuits.evaluation import EvaluatorSpec, TextEvaluator, wrap_classifier
from emotion_circuits.experiments import Decoding, Outcomes, cross, run
from emotion_circuits.interventions import BASELINE, Condition
from emotion_circuits.language_models import LanguageModel, ModelSpec, wrap_language_model
from emotion_circuits.training.trained import Trained

MAX_NEW_TOKENS: Final = 40
# Target metric of each emotion, and its GoEmotions label.
OWN_METRIC: Final = WORLD_EMOTIONS.target_metrics
OWN_LABEL: Final = {name: key.split("/")[1] for name, key in OWN_METRIC.items()}
AS_IT_IS: Final = (BASELINE, {"kind": "baseline"})


def with_hook_points(trained: Trained) -> LanguageModel:
    """Add hook points to a trained language model; the model itself is unchanged."""
    name, device = trained.record["name"], str(trained.model.device)
    spec = ModelSpec.model_validate({"name": name, "source": name, "device": device})
    return wrap_language_model(spec, trained.model, trained.tokenizer)


def as_evaluator(trained: Trained) -> TextEvaluator:
    """Wrap a trained classifier as an evaluator."""
    name = trained.record["name"]
    spec = EvaluatorSpec.model_validate({"name": name, "source": name})
    return TextEvaluator.of([wrap_classifier(spec, trained.model, trained.tokenizer)])


def continue_greedily(
    model: LanguageModel,
    goemotions: TextEvaluator,
    prompts: Sequence[str],
    conditions: Iterable[tuple[Condition, Mapping[str, Any]]] = (AS_IT_IS,),
) -> Outcomes:
    """Continue each prompt greedily under each condition, and score the continuations.

    Args:
        model: The language model.
        goemotions: The evaluator that scores the continuations.
        prompts: Texts that end with the line break before the reaction.
        conditions: Conditions with their coordinates.
    """
    plan = cross(model, prompts, conditions)
    return run(model, goemotions, plan, Decoding(max_new_tokens=MAX_NEW_TOKENS))
