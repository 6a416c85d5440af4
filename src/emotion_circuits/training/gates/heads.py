"""Gate: does any single head matter far more than the others for the expressed emotion?"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.embedded_world.emotions import EMOTIONS
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.interventions import (
    Condition,
    Intervention,
    Prompt,
    Site,
    ablate_zero,
)
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.training.gates.continuations import AS_IT_IS, OWN_METRIC, continue_greedily
from emotion_circuits.training.gates.intervals import N_BOOTSTRAP, interval


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
    of the prompts; its change and the median head's are measured on the other half.

    Args:
        model: The language model.
        goemotions: The evaluator that scores the continuations.
        world: The settings of the world that the model was trained in.
        n_prompts: Number of sets of test prompts; the half that names no emotion is used.
        seed: Seed for drawing prompts and resamples.

    Returns:
        ``layer`` and ``head`` of the most important head, its ``change``, the ``median`` change,
        their ``ratio`` with a 95 % bootstrap interval, and all ``changes`` (layer by head).
    """
    prompts = emotion_prompts(world, split="test", n_per_emotion=n_prompts, seed=seed + 2000)
    prompts = prompts[prompts["emotion"].isin(EMOTIONS) & ~prompts["explicit"]]
    pairs = prompts["pair_id"].drop_duplicates()
    choosing = prompts["pair_id"].isin(pairs[::2]).to_numpy()
    own = [OWN_METRIC[emotion] for emotion in prompts["emotion"]]
    changes = _changes(model, goemotions, prompts["text"].tolist(), own)
    best = int(np.abs(changes[:, choosing].mean(axis=1)).argmax())
    measured = changes[:, ~choosing]
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(N_BOOTSTRAP):
        drawn = rng.integers(0, measured.shape[1], measured.shape[1])
        resampled.append(_ratio(np.abs(measured[:, drawn].mean(axis=1)), best))
    by_head = np.abs(measured.mean(axis=1))
    return {
        "layer": best // model.n_heads,
        "head": best % model.n_heads,
        "n_prompts": int((~choosing).sum()),
        "change": round(float(by_head[best]), 4),
        "median": round(float(np.median(by_head)), 4),
        "ratio": interval(_ratio(by_head, best), resampled),
        "changes": by_head.reshape(-1, model.n_heads).astype(float).round(4).tolist(),
    }


def _ratio(by_head: Float[np.ndarray, " head"], best: int) -> float:
    # The floor is the resolution of a score; a smaller median would make the ratio meaningless.
    return float(by_head[best] / max(np.median(by_head), 1e-4))


def _changes(
    model: LanguageModel, goemotions: TextEvaluator, prompts: list[str], own: list[str]
) -> Float[np.ndarray, "head prompt"]:
    """Return the change in each prompt's target metric under each head's ablation."""
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
    scores = outcomes.values(goemotions.keys).reshape(len(prompts), 1 + len(conditions), -1)
    own_scores = scores[np.arange(len(prompts)), :, columns].T
    changes: np.ndarray = own_scores[1:] - own_scores[0]
    return changes
