"""Scores of heads without ablation: direct writes, attention to the cue, and attributions."""

from __future__ import annotations

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
from emotion_circuits.circuits.emotion_targets import VectorSite
from emotion_circuits.experiments.heads import Head
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import capture_heads, length_batches
from emotion_circuits.language_models import encode_prompts
from emotion_circuits.pipelines.head_screening.ablations import Values

Reading = Float[np.ndarray, "prompt head"]


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
