"""What shows an emotion in a model: tokens that mark it, and its vector at a layer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.prompts import EmotionSet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VectorSite:
    """Emotion vectors at one point of the residual stream.

    Attributes:
        layer: The layer after which the stream is read.
        vectors: The vector of each emotion.
    """

    layer: int
    vectors: dict[str, Float[Tensor, " d_model"]]


def vector_site(emotion_vectors: dict[str, Any], layer: int | None) -> VectorSite:
    """Select the vectors of a layer; None for the last layer with vectors.

    Raises:
        InputError: If the layer has no vectors, or no head writes before their hook point.
    """
    metadata = emotion_vectors["metadata"]
    known = list(metadata["layer_indices"])
    wanted = max(known) if layer is None else layer
    if wanted not in known:
        raise unknown_name("vector_layer", wanted, known, where="the emotion vectors")
    index = known.index(wanted)
    # The stream before a layer is the stream after the previous layer.
    after = wanted - 1 if metadata.get("hook_pos") == "resid_pre" else wanted
    if after < 0:
        raise InputError("vector_layer is 0 with vectors of resid_pre: no head writes there")
    return VectorSite(
        after,
        {
            emotion: torch.as_tensor(np.asarray(values[index]), dtype=torch.float32)
            for emotion, values in emotion_vectors["emotion_vectors"].items()
        },
    )


def marking_tokens(model: LanguageModel, emotions: EmotionSet) -> dict[str, Int[Tensor, " token"]]:
    """Return the tokens that are one of an emotion's words, within a sentence or at its start.

    Words of several tokens are left out, since their first token also begins other words: "Furious"
    may be "F" and "urious", and "Forgive" begins with "For". If an emotion has no word of one
    token, the first tokens of its words stand for them, and the log says so. Tokens of several
    emotions are left out too.

    Raises:
        InputError: If an emotion has no token left.
    """
    marking = {name: _word_tokens(model, name, emotions) for name in emotions.names}
    own: dict[str, Int[Tensor, " token"]] = {}
    for emotion, tokens in marking.items():
        others = set().union(*(marking[other] for other in marking if other != emotion))
        if not tokens - others:
            raise InputError(
                f"marking_words of {emotion} begin with no token of their own for model "
                f"{model.name!r}: {', '.join(emotions.marking_words[emotion])}"
            )
        own[emotion] = torch.tensor(sorted(tokens - others))
    return own


def _word_tokens(model: LanguageModel, emotion: str, emotions: EmotionSet) -> set[int]:
    words = emotions.marking_words[emotion]
    forms = [form for word in words for form in (f" {word}", word.capitalize())]
    encoded = [model.tokenizer(form, add_special_tokens=False).input_ids for form in forms]
    whole = {ids[0] for ids in encoded if len(ids) == 1}
    if whole:
        return whole
    logger.info(
        "No word of %s (%s) is one token of %s; the first tokens of its words mark it",
        *(emotion, ", ".join(words), model.name),
    )
    return {ids[0] for ids in encoded if ids}
