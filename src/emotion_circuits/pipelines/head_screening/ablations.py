"""Ablating each head in turn, and what that does to texts, metrics and the next token."""

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
from emotion_circuits.interventions import Checkpoint, Row, continuation_log_probs, read_logits
from emotion_circuits.pipelines.head_screening.settings import HeadScreeningSettings
from emotion_circuits.prompts import PAIR_HALVES

Values = dict[tuple[str, str], Float[Tensor, "layer head d_head"]]


@dataclass(frozen=True)
class AblationEffects:
    """Every prompt under every head's ablation.

    Attributes:
        heads: The heads, in the order of the outcomes.
        outcomes: The baseline of every prompt, then for each ablation each prompt's lines, one a
            head.
        odds: Log odds that the token after the prompt marks each emotion, for each line.
        preference: What ``read_preferences`` gives, for each line.
    """

    heads: list[Head]
    outcomes: Outcomes
    odds: Float[np.ndarray, "line emotion"]
    preference: Float[np.ndarray, " line"]

    def baseline(self, values: Float[np.ndarray, "line ..."]) -> Float[np.ndarray, "prompt ..."]:
        """Give the baseline's part of values that have one entry a line."""
        return values[(self.outcomes.table["kind"] == "baseline").to_numpy()]

    def ablated(
        self, values: Float[np.ndarray, "line ..."], ablation: str
    ) -> Float[np.ndarray, "prompt head ..."]:
        """Give one ablation's part of values that have one entry a line, by prompt and head."""
        part = values[(self.outcomes.table["ablation"] == ablation).to_numpy()]
        return part.reshape(-1, len(self.heads), *part.shape[1:])


def ablation_values(prompts: PairedPrompts, ablations: Sequence[str], batch_size: int) -> Values:
    """Give what stands in for each head's output, by ablation and half.

    Zeros; or, for a prompt of one half, the mean over all prompts of the other half, so that no
    prompt and no partner of it has a part in its own ablation.
    """
    model = prompts.model
    zeros = torch.zeros(model.n_layers, model.n_heads, model.d_head)
    found: Values = {("zero", half): zeros for half in PAIR_HALVES}
    if "mean" in ablations:
        means = prompts.mean_outputs(prompts.head_outputs(batch_size))
        found |= {("mean", half): values for half, values in means.items()}
    return {key: values for key, values in found.items() if key[0] in ablations}


def ablate_each_head(
    prompts: PairedPrompts,
    evaluator: TextEvaluator,
    values: Values,
    marking: Mapping[str, Int[Tensor, " token"]],
    heads: list[Head],
    settings: HeadScreeningSettings,
    checkpoint: Checkpoint | None,
) -> AblationEffects:
    """Continue every prompt without each head in turn, in one table of rows.

    Args:
        prompts: The prompts.
        evaluator: Scores the continuations.
        values: What ``ablation_values`` gives.
        marking: Tokens that mark each emotion.
        heads: Which to ablate.
        settings: How much to generate.
        checkpoint: Where finished texts outlive a killed run.
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
    tokens = outcomes.baseline.table["token_ids"].tolist()
    return AblationEffects(
        heads,
        outcomes,
        _read_odds(prompts, plan.rows, marking),
        read_preferences(prompts, plan, tokens),
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

    return read_logits(prompts.model, rows, read).double().numpy()


def read_preferences(
    prompts: PairedPrompts, plan: Plan, reactions: Sequence[tuple[int, ...]]
) -> Float[np.ndarray, " row"]:
    """Log-probability of the reaction to the emotion's prompt minus that to the neutral prompt.

    Both are reactions of the unpatched model, and both are read after the emotion's prompt under
    each row's condition. Every token of both counts, so that an effect shows that changes no
    greedy choice.

    Args:
        prompts: The prompts.
        plan: Prompts under conditions that act everywhere, with ``prompt_index``.
        reactions: What the unpatched model says after each prompt, as tokens.

    Returns:
        The difference of the means per token, in nats; NaN for neutral prompts.

    Source: effects of heads on log-probability differences, Wang et al. 2022, arXiv:2211.00593.
    """
    partner = dict(pair for name in prompts.emotions.names for pair in prompts.pairs(name))
    owners = plan.coordinates["prompt_index"].tolist()
    kept = [place for place, owner in enumerate(owners) if owner in partner]
    found = np.full(len(owners), np.nan)
    if kept:
        rows = [plan.rows[place] for place in kept]
        own = [reactions[owners[place]] for place in kept]
        neutral = [reactions[partner[owners[place]]] for place in kept]
        values = continuation_log_probs(prompts.model, [*rows, *rows], [*own, *neutral])
        found[kept] = values[: len(kept)] - values[len(kept) :]
    return found
