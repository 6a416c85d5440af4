"""Ablation of each head in turn, and its effects on texts, metrics and the next token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits import log_odds
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import Outcomes, Plan, run
from emotion_circuits.experiments.head_conditions import ablate_heads
from emotion_circuits.experiments.head_plans import baseline_lines
from emotion_circuits.experiments.heads import Head
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.experiments.reactions import Reactions
from emotion_circuits.interventions import Checkpoint, Row, read_logits
from emotion_circuits.pipelines.head_screening.settings import HeadScreeningSettings
from emotion_circuits.prompts import PAIR_HALVES

Values = dict[tuple[str, str], Float[Tensor, "layer head d_head"]]


@dataclass(frozen=True)
class AblationEffects:
    """Results for every prompt under the ablation of every head.

    Attributes:
        heads: The heads, in the order of the outcomes.
        outcomes: The baseline of every prompt, then for each ablation and prompt one line per
            head.
        odds: For each line, the log odds that the token after the prompt marks each emotion.
        preference: For each line on an emotional prompt, the result of ``Reactions.preferences``
            for its pair. That of the baseline is also the cost of the lost emotion alone.
    """

    heads: list[Head]
    outcomes: Outcomes
    odds: Float[np.ndarray, "line emotion"]
    preference: Float[np.ndarray, " line"]

    def baseline(self, values: Float[np.ndarray, "line ..."]) -> Float[np.ndarray, "prompt ..."]:
        """Select the baseline's values from values by line."""
        return values[(self.outcomes.table["kind"] == "baseline").to_numpy()]

    def ablated(
        self, values: Float[np.ndarray, "line ..."], ablation: str
    ) -> Float[np.ndarray, "prompt head ..."]:
        """Select one ablation's values from values by line, by prompt and head."""
        part = values[(self.outcomes.table["ablation"] == ablation).to_numpy()]
        return part.reshape(-1, len(self.heads), *part.shape[1:])


def ablation_values(prompts: PairedPrompts, ablations: Sequence[str], batch_size: int) -> Values:
    """Return the replacements of each head's output, by ablation and half of the prompts.

    ``zero`` is zero. ``mean`` is the mean over all prompts of the other half, so that a prompt and
    its partners do not contribute to the prompt's own ablation.
    """
    model = prompts.model
    zeros = torch.zeros(model.n_layers, model.n_heads, model.d_head)
    replacements: Values = {("zero", half): zeros for half in PAIR_HALVES}
    if "mean" in ablations:
        means = prompts.mean_outputs(prompts.head_outputs(batch_size))
        replacements |= {("mean", half): values for half, values in means.items()}
    return {key: values for key, values in replacements.items() if key[0] in ablations}


def ablate_each_head(
    prompts: PairedPrompts,
    evaluator: TextEvaluator,
    values: Values,
    marking: Mapping[str, Int[Tensor, " token"]],
    heads: list[Head],
    settings: HeadScreeningSettings,
    checkpoint: Checkpoint | None,
) -> AblationEffects:
    """Continue every prompt under the ablation of each head, in one table of rows.

    Args:
        prompts: The prompts.
        evaluator: The evaluator of the continuations.
        values: The result of ``ablation_values``.
        marking: Tokens that mark each emotion.
        heads: The heads to ablate.
        settings: Ablations, and settings of generation.
        checkpoint: File that keeps finished rows of a killed run.
    """
    plan = Plan.of(
        [*baseline_lines(prompts), *_ablation_lines(prompts, values, heads, settings.ablations)]
    )
    outcomes = run(
        prompts.model,
        evaluator,
        plan,
        settings.decoding(),
        checkpoint=checkpoint,
        progress=f"{prompts.model.name} head ablations",
    )
    return AblationEffects(
        heads,
        outcomes,
        _read_odds(prompts, plan.rows, marking),
        _preferences(Reactions.of(prompts, outcomes), plan),
    )


def _ablation_lines(
    prompts: PairedPrompts, values: Values, heads: Sequence[Head], ablations: Sequence[str]
) -> Iterator[tuple[Row, dict[str, Any]]]:
    conditions = {
        (*key, head): ablate_heads(f"{key[0]} {head}", [head], held)
        for key, held in values.items()
        for head in heads
    }
    for ablation in ablations:
        for where, ids in zip(prompts.coordinates, prompts.ids, strict=True):
            for head in heads:
                what = {"kind": "ablation", "ablation": ablation, **head._asdict()}
                yield Row(ids, conditions[ablation, where["half"], head]), {**where, **what}


def _read_odds(
    prompts: PairedPrompts, rows: Sequence[Row], marking: Mapping[str, Int[Tensor, " token"]]
) -> Float[np.ndarray, "row emotion"]:
    names = prompts.emotions.names

    def read(logits: Tensor) -> Tensor:
        return torch.stack([log_odds(logits, marking[emotion]) for emotion in names], dim=1)

    label = f"{prompts.model.name} next tokens"
    return read_logits(prompts.model, rows, read, progress=label).double().numpy()


def _preferences(reactions: Reactions, plan: Plan) -> Float[np.ndarray, " line"]:
    """Return each line's preference for its emotion's own reaction; NaN for neutral prompts."""
    prompts = reactions.prompts
    partner = dict(pair for name in prompts.emotions.names for pair in prompts.pairs(name))
    owners = plan.coordinates["prompt_index"].tolist()
    read = [line for line, owner in enumerate(owners) if owner in partner]
    preferences = np.full(len(owners), np.nan)
    if read:
        pairs = [(owners[line], partner[owners[line]]) for line in read]
        rows = [plan.rows[line] for line in read]
        label = f"{prompts.model.name} reactions"
        preferences[read] = reactions.preferences(rows, pairs, progress=label)
    return preferences
