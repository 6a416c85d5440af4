"""Scores of heads without ablation: direct writes, attention to the cue, and attributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits import (
    ablation_estimates,
    cue_attention,
    direct_write,
    final_scales,
    head_gradients,
    head_writes,
    log_odds_target,
    projection_target,
)
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.experiments.heads import Head
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import capture_heads, length_batches
from emotion_circuits.language_models import LanguageModel, encode_prompts
from emotion_circuits.pipelines.head_screening.ablations import Values
from emotion_circuits.prompts import EmotionSet

Reading = Float[np.ndarray, "prompt head"]


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
    """Return the first tokens of each emotion's words, within a sentence and at its start.

    Tokens that also begin another emotion's words are left out.

    Raises:
        InputError: If an emotion has no token left.
    """
    first_tokens: dict[str, set[int]] = {}
    for emotion in emotions.names:
        words = emotions.marking_words[emotion]
        forms = [form for word in words for form in (f" {word}", word.capitalize())]
        encoded = [model.tokenizer(form, add_special_tokens=False).input_ids for form in forms]
        first_tokens[emotion] = {ids[0] for ids in encoded if ids}
    own: dict[str, Int[Tensor, " token"]] = {}
    for emotion, tokens in first_tokens.items():
        others = set().union(*(first_tokens[other] for other in first_tokens if other != emotion))
        if not tokens - others:
            raise InputError(
                f"marking_words of {emotion} begin with no token of their own for model "
                f"{model.name!r}: {', '.join(emotions.marking_words[emotion])}"
            )
        own[emotion] = torch.tensor(sorted(tokens - others))
    return own


def read_writes(
    prompts: PairedPrompts, site: VectorSite, heads: list[Head], batch_size: int
) -> dict[str, Reading]:
    """Return each head's direct write onto each emotion's vector, at the last position.

    Heads above the layer of the vectors have NaN, since they write to later layers.
    """
    writes = head_writes(prompts.model, prompts.ids, batch_size=batch_size)
    scales, centered = final_scales(prompts.model, prompts.ids, batch_size=batch_size)
    by_emotion = {}
    for emotion, vector in site.vectors.items():
        written = direct_write(writes, scales, vector, centered=centered)
        written[:, site.layer + 1 :] = float("nan")
        by_emotion[emotion] = _pick(written, heads)
    return by_emotion


def read_cue_attention(
    prompts: PairedPrompts, heads: list[Head], batch_size: int
) -> tuple[Reading, Reading, Float[np.ndarray, " prompt"]]:
    """Return attention to the cue: from the last position, from all later ones, and uniform."""
    cues = encode_prompts(
        prompts.model, prompts.table["text"].tolist(), prompts.table["cue"].tolist()
    )
    n_prompts = len(prompts.ids)
    last = np.full((n_prompts, len(heads)), np.nan)
    after = np.full((n_prompts, len(heads)), np.nan)
    uniform = np.full(n_prompts, np.nan)
    for batch in capture_heads(
        prompts.model, prompts.ids, parts=("pattern",), batch_size=batch_size
    ):
        indices, pattern = list(batch.rows), batch.pattern
        assert pattern is not None
        attention = cue_attention(pattern, cues.cue_mask[indices, : pattern.shape[-1]])
        last[indices] = _pick(attention.from_last, heads)
        after[indices] = _pick(attention.from_after, heads)
        uniform[indices] = attention.uniform.numpy()
    return last, after, uniform


def read_attributions(
    prompts: PairedPrompts,
    site: VectorSite,
    marking: dict[str, Int[Tensor, " token"]],
    values: Values,
    heads: list[Head],
    batch_size: int,
) -> dict[str, Reading]:
    """Estimate by gradients how much ablating each head lowers the emotion of each prompt.

    Returns:
        ``attribution_<target>_<ablation>``: estimated decrease of the target under ablation. The
        target ``projection`` is the last position's component along the emotion's vector,
        ``logit`` the log odds that the next token marks the emotion. Neutral prompts have NaN.
    """
    emotions = prompts.table["emotion"].tolist()
    ablations = list(dict.fromkeys(ablation for ablation, _ in values))
    shape = (len(emotions), len(heads))
    attributions = {
        f"attribution_{target}_{ablation}": np.full(shape, np.nan)
        for target in ("projection", "logit")
        for ablation in ablations
    }
    neutral = prompts.emotions.neutral
    emotional = [index for index, label in enumerate(emotions) if label != neutral]
    ids_of_emotional = [prompts.ids[index] for index in emotional]
    for entries, ids in length_batches(prompts.model, ids_of_emotional, batch_size):
        indices = [emotional[entry] for entry in entries]
        labels = [emotions[index] for index in indices]
        targets = {
            "projection": projection_target(torch.stack([site.vectors[e] for e in labels])),
            "logit": log_odds_target([marking[emotion] for emotion in labels]),
        }
        read = head_gradients(prompts.model, ids, targets, layer=site.layer)
        halves = prompts.table["half"].to_numpy()[indices]
        for (ablation, half), held in values.items():
            members = np.flatnonzero(halves == half)
            for target, gradient in read.gradients.items():
                estimates = ablation_estimates(read.z[members], gradient[members], held)
                chosen = np.asarray(indices)[members]
                attributions[f"attribution_{target}_{ablation}"][chosen] = -_pick(estimates, heads)
    return attributions


def _pick(values: Float[Tensor, "prompt layer head"], heads: list[Head]) -> Reading:
    layers, numbers = zip(*heads, strict=True)
    return values[:, list(layers), list(numbers)].double().numpy()
