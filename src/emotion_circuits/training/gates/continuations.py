"""Greedy continuations of prompts, and what an evaluator makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.embedded_world.emotions import EMOTIONS
from emotion_circuits.evaluation.fluency import continuation_nll
from emotion_circuits.interventions import BASELINE, Condition, sweep
from emotion_circuits.language_models import LanguageModel, ModelSpec, wrap_language_model
from emotion_circuits.training.classifier_training import predict
from emotion_circuits.training.trained import Trained

MAX_NEW_TOKENS: Final = 40
# Which GoEmotions label is an emotion's own.
OWN_LABEL: Final = dict(zip(EMOTIONS, ("gratitude", "anger", "remorse"), strict=True))


def with_hook_points(trained: Trained) -> LanguageModel:
    """Prepare a trained language model for interventions; the model itself stays as it is."""
    name, device = trained.record["name"], str(trained.model.device)
    spec = ModelSpec.model_validate({"name": name, "source": name, "device": device})
    return wrap_language_model(spec, trained.model, trained.tokenizer)


class Continuations(NamedTuple):
    """What a model said under one condition.

    Attributes:
        texts: Without special tokens.
        scores: The probability that the evaluator gives each GoEmotions label.
        nll: Mean negative log-likelihood per new token, the end of the text included, of what was
            said under the unchanged model on the same prompt, in nats.
    """

    texts: list[str]
    scores: Float[np.ndarray, "prompt label"]
    nll: Float[np.ndarray, " prompt"]


def continue_greedily(
    model: LanguageModel,
    goemotions: Trained,
    prompts: Sequence[str],
    conditions: Sequence[Condition] = (BASELINE,),
) -> dict[str, Continuations]:
    """Continue each prompt under each condition by the most likely tokens, and read the texts.

    Args:
        model: The language model.
        goemotions: The evaluator that reads what it says.
        prompts: Each ends with the line break before the reaction.
        conditions: With distinct names.

    Returns:
        For each condition, by its name, one continuation per prompt.
    """
    table = sweep(model, prompts, conditions, max_new_tokens=MAX_NEW_TOKENS, progress=False)
    scores = predict(goemotions.model, goemotions.tokenizer, table["text"].tolist()).numpy()
    nll = continuation_nll(model, table["prompt_ids"].tolist(), table["token_ids"].tolist())
    found = {}
    for place, condition in enumerate(conditions):
        rows = slice(place, None, len(conditions))  # conditions of one prompt stand together
        found[condition.name] = Continuations(table["text"].tolist()[rows], scores[rows], nll[rows])
    return found
