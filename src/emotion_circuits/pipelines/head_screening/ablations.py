"""Ablating each head in turn, and what that does to texts, metrics and the next token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits import HALVES, Head, ablate_heads, log_odds, mean_outputs
from emotion_circuits.emotions import EMOTIONS
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.interventions import (
    BASELINE,
    Checkpoint,
    Condition,
    Row,
    capture_heads,
    read_logits,
)
from emotion_circuits.pipelines.head_prompts import HeadPrompts
from emotion_circuits.pipelines.head_screening.reactions import read_preferences
from emotion_circuits.pipelines.head_screening.settings import HeadScreeningSettings

Metrics = dict[str, Float[np.ndarray, "..."]]
Values = dict[tuple[str, str], Float[Tensor, "layer head d_head"]]


@dataclass(frozen=True)
class AblationEffects:
    """Every prompt under every head's ablation.

    Attributes:
        heads: The last axis of what is patched.
        baseline_texts: Continuations by the model as it is.
        texts: Continuations of each prompt for each head, by ablation.
        baseline: Scores of the baseline texts, ``[prompt]`` by ``metric/label``.
        patched: Scores ``[prompt, head]``, by ablation and ``metric/label``.
        baseline_odds: Log odds ``[prompt, emotion]`` that the token after the prompt marks each
            emotion.
        patched_odds: The same under ablation, ``[prompt, head, emotion]``, by ablation.
        baseline_preference: What ``read_preferences`` gives for the model as it is, ``[prompt]``.
        patched_preference: The same under ablation, ``[prompt, head]``, by ablation.
    """

    heads: list[Head]
    baseline_texts: list[str]
    texts: dict[str, list[list[str]]]
    baseline: Metrics
    patched: dict[str, Metrics]
    baseline_odds: Float[np.ndarray, "prompt emotion"]
    patched_odds: dict[str, Float[np.ndarray, "prompt head emotion"]]
    baseline_preference: Float[np.ndarray, " prompt"]
    patched_preference: dict[str, Float[np.ndarray, "prompt head"]]


def ablation_values(data: HeadPrompts, ablations: Sequence[str], batch_size: int) -> Values:
    """Give what stands in for each head's output, by ablation and half.

    Zeros; or, for a prompt of one half, the mean over all prompts of the other half, so that no
    prompt and no partner of it has a part in its own ablation.
    """
    shape = (data.model.n_layers, data.model.n_heads, data.model.d_head)
    found: Values = {("zero", half): torch.zeros(shape) for half in HALVES}
    if "mean" in ablations:
        z = {
            row: values
            for batch in capture_heads(data.model, data.ids, batch_size=batch_size)
            for row, values in zip(batch.rows, _outputs(batch.z), strict=True)
        }
        labels = dict(enumerate(data.table["emotion"]))
        for half, other in zip(HALVES, reversed(HALVES), strict=True):
            others = {row: z[row] for row in data.rows_of(other)}
            found["mean", half] = mean_outputs(others, labels, n_special=data.n_special)
    return {key: values for key, values in found.items() if key[0] in ablations}


def _outputs(z: Tensor | None) -> Tensor:
    assert z is not None
    return z


def ablate_each_head(
    data: HeadPrompts,
    evaluator: TextEvaluator,
    values: Values,
    marking: dict[str, Int[Tensor, " token"]],
    heads: list[Head],
    settings: HeadScreeningSettings,
    checkpoint: Checkpoint | None,
) -> AblationEffects:
    """Continue every prompt without each head in turn, in one table of rows.

    Args:
        data: The prompts.
        evaluator: Scores the continuations.
        values: What ``ablation_values`` gives.
        marking: Tokens that mark each emotion.
        heads: Which to ablate.
        settings: How much to generate.
        checkpoint: Where finished texts outlive a killed run.
    """
    conditions = {
        (ablation, half, head): ablate_heads(f"{ablation} {head}", [head], held)
        for (ablation, half), held in values.items()
        for head in heads
    }
    halves = data.table["half"].tolist()
    n_prompts = len(halves)
    rows = [Row(ids, BASELINE) for ids in data.ids]
    for ablation in settings.ablations:
        rows += _rows_of(data, conditions, ablation, halves, heads)
    tokens = data.continue_rows(rows, settings, "head ablations", checkpoint)
    texts = data.decode(tokens)
    scores = evaluator.evaluate_batch(texts, settings.batch_size)
    odds = _read_odds(data, rows, marking)
    of_ablation = np.repeat(np.arange(n_prompts), len(heads)).tolist()
    owners = [*range(n_prompts), *(of_ablation * len(settings.ablations))]
    preferences = read_preferences(data, rows, owners, tokens[:n_prompts])
    patched: dict[str, Metrics] = {}
    patched_odds: dict[str, Float[np.ndarray, "prompt head emotion"]] = {}
    patched_texts: dict[str, list[list[str]]] = {}
    patched_preference: dict[str, Float[np.ndarray, "prompt head"]] = {}
    for place, ablation in enumerate(settings.ablations):
        start = n_prompts * (1 + place * len(heads))
        part = slice(start, start + n_prompts * len(heads))
        patched[ablation] = {
            key: value[part].reshape(n_prompts, len(heads)) for key, value in scores.items()
        }
        patched_odds[ablation] = odds[part].reshape(n_prompts, len(heads), -1)
        patched_preference[ablation] = preferences[part].reshape(n_prompts, len(heads))
        flat = texts[part]
        patched_texts[ablation] = [
            flat[row * len(heads) : (row + 1) * len(heads)] for row in range(n_prompts)
        ]
    return AblationEffects(
        heads,
        texts[:n_prompts],
        patched_texts,
        {key: value[:n_prompts] for key, value in scores.items()},
        patched,
        odds[:n_prompts],
        patched_odds,
        preferences[:n_prompts],
        patched_preference,
    )


def _rows_of(
    data: HeadPrompts,
    conditions: dict[tuple[str, str, Head], Condition],
    ablation: str,
    halves: list[str],
    heads: list[Head],
) -> list[Row]:
    return [
        Row(ids, conditions[ablation, half, head])
        for ids, half in zip(data.ids, halves, strict=True)
        for head in heads
    ]


def _read_odds(
    data: HeadPrompts, rows: list[Row], marking: dict[str, Int[Tensor, " token"]]
) -> Float[np.ndarray, "row emotion"]:
    def read(logits: Tensor) -> Tensor:
        return torch.stack([log_odds(logits, marking[emotion]) for emotion in EMOTIONS], dim=1)

    return read_logits(data.model, rows, read).double().numpy()
