"""Gate: does any single head matter far more than the others for the expressed emotion?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.embedded_world.emotions import EMOTIONS, NEUTRAL
from emotion_circuits.evaluation import TextEvaluator, continuation_nll
from emotion_circuits.experiments import FLUENCY
from emotion_circuits.interventions import (
    Condition,
    Intervention,
    Prompt,
    Site,
    ablate_zero,
)
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.prompts import clusters_of, halve_clusters
from emotion_circuits.seeds import rng_for
from emotion_circuits.training.gates.continuations import AS_IT_IS, OWN_METRIC, continue_greedily
from emotion_circuits.training.gates.intervals import bootstrap_cell


class Ablations(NamedTuple):
    """What ablation of each head does to the continuation of each prompt.

    Attributes:
        changes: Change of the prompt's target metric.
        losses: Loss of fluency: nats per token under the unpatched model, beyond those of the
            unpatched continuation.
        reactions: Tokens of each prompt's unpatched continuation.
    """

    changes: Float[np.ndarray, "head prompt"]
    losses: Float[np.ndarray, "head prompt"]
    reactions: list[tuple[int, ...]]


def heads_gate(
    model: LanguageModel,
    goemotions: TextEvaluator,
    world: WorldSettings,
    *,
    n_prompts: int,
    seed: int,
) -> dict[str, Any]:
    """Ablate each head to zero at all prompt positions and measure the expressed emotion.

    A head's change is the absolute value of the mean change in the situation's target metric, over
    prompts that imply an emotion without naming it. The most important head is chosen on one half
    of the prompts; its change and the median head's are measured on the other half, which shares
    no sentence template with it. Resamples draw whole templates.

    Args:
        model: The language model.
        goemotions: The evaluator that scores the continuations.
        world: The settings of the world that the model was trained in.
        n_prompts: Number of sets of test prompts; the half that names no emotion is used.
        seed: Seed for drawing prompts and resamples.

    Returns:
        ``layer`` and ``head`` of the most important head, ``n_prompts`` and ``n_templates`` of the
        measuring half, the head's ``change``, the ``median`` change, their ``ratio``, and all
        ``changes`` (layer by head). ``cost`` of the head's ablation, in nats per token under the
        unpatched model; ``cost_reference``: the same of the reaction to the neutral prompt of the
        set, which is what the lost emotion alone costs. Ratio and costs have 95 % BCa
        bootstrap intervals.
    """
    every = emotion_prompts(world, split="test", n_per_emotion=n_prompts, seed=seed + 2000)
    prompts = every[every["emotion"].isin(EMOTIONS) & ~every["explicit"]]
    choosing, clusters = halve_prompts(prompts, seed)
    own = [OWN_METRIC[emotion] for emotion in prompts["emotion"]]
    found = _ablate_each(model, goemotions, prompts["text"].tolist(), own)
    neutral = every[every["emotion"] == NEUTRAL].set_index("pair_id")["text"]
    references = reference_costs(
        *(model, goemotions, prompts["text"].tolist(), found.reactions),
        neutral[prompts["pair_id"]].tolist(),
    )
    best = int(np.abs(found.changes[:, choosing].mean(axis=1)).argmax())
    measured, units = found.changes[:, ~choosing], clusters[~choosing]
    costs = np.stack([found.losses[best], references])[:, ~choosing]
    codes = np.unique(units, return_inverse=True)[1]

    def interval(values: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
        """Return an interval over templates; all share the resamples."""
        return bootstrap_cell(values, codes, rng=rng_for(seed, "heads_gate"))

    def ratios(weights: np.ndarray) -> np.ndarray:
        means = np.abs(_means(weights, measured.T))
        return np.array([_ratio(of_resample, best) for of_resample in means])

    by_head = np.abs(measured.mean(axis=1))
    return {
        "layer": best // model.n_heads,
        "head": best % model.n_heads,
        "n_prompts": int((~choosing).sum()),
        "n_templates": len(set(units.tolist())),
        "change": round(float(by_head[best]), 4),
        "median": round(float(np.median(by_head)), 4),
        "ratio": interval(ratios),
        "cost": interval(partial(_means, values=costs[0])),
        "cost_reference": interval(partial(_means, values=costs[1])),
        "changes": by_head.reshape(-1, model.n_heads).astype(float).round(4).tolist(),
    }


def _means(
    weights: Float[np.ndarray, "resample prompt"], values: Float[np.ndarray, "prompt ..."]
) -> Float[np.ndarray, "resample ..."]:
    """Return weighted means over prompts."""
    means: np.ndarray = (weights / weights.sum(axis=1, keepdims=True)) @ values
    return means


def halve_prompts(prompts: pd.DataFrame, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each prompt is of the choosing half, and its cluster: its template.

    Args:
        prompts: Texts with ``emotion``, ``pair_id`` and ``template_id``.
        seed: Seed of the halves.
    """
    clusters = clusters_of(prompts).to_numpy(dtype=str)
    return halve_clusters(prompts["emotion"].tolist(), clusters.tolist(), seed=seed), clusters


def _ratio(by_head: Float[np.ndarray, " head"], best: int) -> float:
    # The floor is the resolution of a score; a smaller median would make the ratio meaningless.
    return float(by_head[best] / max(np.median(by_head), 1e-4))


def reference_costs(
    model: LanguageModel,
    goemotions: TextEvaluator,
    prompts: Sequence[str],
    reactions: Sequence[tuple[int, ...]],
    neutral: Sequence[str],
) -> Float[np.ndarray, " prompt"]:
    """Return what the reaction to the neutral prompt costs beyond the own one, after each prompt.

    Args:
        model: The language model.
        goemotions: The evaluator of the gates.
        prompts: Emotional prompts.
        reactions: Tokens of the model's own greedy reaction to each of them.
        neutral: The neutral prompt beside each of them.

    Returns:
        Nats per token under the unpatched model.
    """
    distinct = list(dict.fromkeys(neutral))
    outcomes = continue_greedily(model, goemotions, distinct)
    of_text = dict(zip(outcomes.table["prompt"], outcomes.table["token_ids"], strict=True))
    ids = [model.encode(text) for text in prompts]
    other = continuation_nll(model, ids, [of_text[text] for text in neutral])
    costs: np.ndarray = other - continuation_nll(model, ids, reactions)
    return costs


def _ablate_each(
    model: LanguageModel, goemotions: TextEvaluator, prompts: list[str], own: list[str]
) -> Ablations:
    """Ablate each head on each prompt, whose target metric is in ``own``."""
    zero = ablate_zero(model.d_head)
    conditions = [
        (
            Condition(f"{layer}:{head}", (Intervention(Site("z", layer, head), zero, Prompt()),)),
            {"kind": "ablation", "layer": layer, "head": head},
        )
        for layer in range(model.n_layers)
        for head in range(model.n_heads)
    ]
    outcomes = continue_greedily(model, goemotions, prompts, [AS_IT_IS, *conditions])
    columns = [goemotions.keys.index(key) for key in own]
    # Outcomes are ordered by prompt, then by condition.
    shape = (len(prompts), 1 + len(conditions), -1)
    scores = outcomes.values(goemotions.keys).reshape(shape)
    own_scores = scores[np.arange(len(prompts)), :, columns].T
    fluency = outcomes.values([FLUENCY]).reshape(shape)[:, :, 0].T
    return Ablations(
        own_scores[1:] - own_scores[0],
        fluency[1:] - fluency[0],
        outcomes.baseline.table["token_ids"].tolist(),
    )
