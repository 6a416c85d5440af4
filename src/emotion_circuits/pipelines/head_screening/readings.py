"""Scores of heads that need no ablation: what they write, where they look, what gradients say."""

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
from emotion_circuits.interventions import capture_heads
from emotion_circuits.language_models import LanguageModel, encode_prompts
from emotion_circuits.pipelines.head_screening.ablations import Values
from emotion_circuits.prompts import EmotionSet

Reading = Float[np.ndarray, "prompt head"]


@dataclass(frozen=True)
class VectorSite:
    """Emotion vectors at one point of the stream.

    Attributes:
        layer: The layer after which the stream is read; -1 for what goes into the first.
        vectors: Of each emotion.
    """

    layer: int
    vectors: dict[str, Float[Tensor, " d_model"]]


def vector_site(emotion_vectors: dict[str, Any], layer: int | None) -> VectorSite:
    """Find the vectors of a layer, the last there is unless told otherwise.

    Raises:
        InputError: If the layer has none, or they are of the stream before any head.
    """
    metadata = emotion_vectors["metadata"]
    known = list(metadata["layer_indices"])
    wanted = max(known) if layer is None else layer
    if wanted not in known:
        raise unknown_name("vector_layer", wanted, known, where="the emotion vectors")
    place = known.index(wanted)
    # The stream before a layer is the stream after the one before it.
    after = wanted - 1 if metadata.get("hook_pos") == "resid_pre" else wanted
    if after < 0:
        raise InputError("vector_layer is 0 with vectors of resid_pre: no head writes there")
    return VectorSite(
        after,
        {
            emotion: torch.as_tensor(np.asarray(values[place]), dtype=torch.float32)
            for emotion, values in emotion_vectors["emotion_vectors"].items()
        },
    )


def marking_tokens(model: LanguageModel, emotions: EmotionSet) -> dict[str, Int[Tensor, " token"]]:
    """Give the tokens words of each emotion begin with, within a sentence or at its start.

    Raises:
        InputError: If all of an emotion's tokens begin another emotion's words, too.
    """
    found: dict[str, set[int]] = {}
    for emotion in emotions.names:
        words = emotions.marking_words[emotion]
        forms = [form for word in words for form in (f" {word}", word.capitalize())]
        encoded = [model.tokenizer(form, add_special_tokens=False).input_ids for form in forms]
        found[emotion] = {ids[0] for ids in encoded if ids}
    own: dict[str, Int[Tensor, " token"]] = {}
    for emotion, tokens in found.items():
        others = set().union(*(found[other] for other in found if other != emotion))
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
    """Give each head's direct write onto each emotion's vector, at the last position.

    Heads above the layer of the vectors have NaN: they write only what comes after it.
    """
    writes = head_writes(prompts.model, prompts.ids, batch_size=batch_size)
    scales, centered = final_scales(prompts.model, prompts.ids, batch_size=batch_size)
    found = {}
    for emotion, vector in site.vectors.items():
        written = direct_write(writes, scales, vector, centered=centered)
        written[:, site.layer + 1 :] = float("nan")
        found[emotion] = _pick(written, heads)
    return found


def read_cue_attention(
    prompts: PairedPrompts, heads: list[Head], batch_size: int
) -> tuple[Reading, Reading, Float[np.ndarray, " prompt"]]:
    """Give attention to the cue from the last position and from those after it, and by chance."""
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
        rows, pattern = list(batch.rows), batch.pattern
        assert pattern is not None
        seen = cue_attention(pattern, cues.cue_mask[rows, : pattern.shape[-1]])
        last[rows], after[rows] = _pick(seen.from_last, heads), _pick(seen.from_after, heads)
        uniform[rows] = seen.uniform.numpy()
    return last, after, uniform


def read_attributions(
    prompts: PairedPrompts,
    site: VectorSite,
    marking: dict[str, Int[Tensor, " token"]],
    values: Values,
    heads: list[Head],
    batch_size: int,
) -> dict[str, Reading]:
    """Estimate by gradients how far ablating each head lowers each prompt's own emotion.

    Returns:
        ``attribution_<target>_<ablation>``, positive where ablation is said to lower the target:
        ``projection`` is the last position's component along the emotion's vector, ``logit`` the
        log odds that the next token marks the emotion. Neutral prompts have NaN.
    """
    emotions = prompts.table["emotion"].tolist()
    ablations = list(dict.fromkeys(ablation for ablation, _ in values))
    shape = (len(emotions), len(heads))
    found = {
        f"attribution_{target}_{ablation}": np.full(shape, np.nan)
        for target in ("projection", "logit")
        for ablation in ablations
    }
    for rows in _batches(prompts, batch_size):
        labels = [emotions[row] for row in rows]
        targets = {
            "projection": projection_target(torch.stack([site.vectors[e] for e in labels])),
            "logit": log_odds_target([marking[emotion] for emotion in labels]),
        }
        ids = torch.tensor([prompts.ids[row] for row in rows], device=prompts.model.device)
        read = head_gradients(prompts.model, ids, targets, layer=site.layer)
        halves = prompts.table["half"].to_numpy()[rows]
        for (ablation, half), held in values.items():
            mine = np.flatnonzero(halves == half)
            for target, gradient in read.gradients.items():
                estimates = ablation_estimates(read.z[mine], gradient[mine], held)
                place = np.asarray(rows)[mine]
                found[f"attribution_{target}_{ablation}"][place] = -_pick(estimates, heads)
    return found


def _batches(prompts: PairedPrompts, batch_size: int) -> list[list[int]]:
    """Put emotion prompts of one length together."""
    by_length: dict[int, list[int]] = {}
    for row, emotion in enumerate(prompts.table["emotion"]):
        if emotion != prompts.emotions.neutral:
            by_length.setdefault(len(prompts.ids[row]), []).append(row)
    return [
        rows[start : start + batch_size]
        for _, rows in sorted(by_length.items(), reverse=True)
        for start in range(0, len(rows), batch_size)
    ]


def _pick(values: Float[Tensor, "prompt layer head"], heads: list[Head]) -> Reading:
    layers, numbers = zip(*heads, strict=True)
    return values[:, list(layers), list(numbers)].double().numpy()
