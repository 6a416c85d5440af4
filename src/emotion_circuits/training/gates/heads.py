"""Are there heads without which a language model does not know the emotion?"""

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
    """Zero each head at all prompt positions, and see what becomes of the expressed emotion.

    A head's change is the absolute value of the mean change of the score of the situation's own
    label, over prompts that call for an emotion without naming it. The most important head is
    chosen on one half of the prompts, and its change and the median head's are measured on the
    other half.

    Args:
        model: The language model.
        goemotions: The evaluator that reads what it says.
        world: The world it was trained in.
        n_prompts: How many sets of test prompts; half of them name no emotion, and are used.
        seed: Draws the prompts.

    Returns:
        ``layer`` and ``head`` of the most important head, its ``change``, the ``median`` head's,
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
        rows = rng.integers(0, measured.shape[1], measured.shape[1])
        resampled.append(_ratio(np.abs(measured[:, rows].mean(axis=1)), best))
    found = np.abs(measured.mean(axis=1))
    return {
        "layer": best // model.n_heads,
        "head": best % model.n_heads,
        "n_prompts": int((~choosing).sum()),
        "change": round(float(found[best]), 4),
        "median": round(float(np.median(found)), 4),
        "ratio": interval(_ratio(found, best), resampled),
        "changes": found.reshape(-1, model.n_heads).astype(float).round(4).tolist(),
    }


def _ratio(found: Float[np.ndarray, " head"], best: int) -> float:
    # A median below the score's resolution counts as that: a ratio to nothing would say nothing.
    return float(found[best] / max(np.median(found), 1e-4))


def _changes(
    model: LanguageModel, goemotions: TextEvaluator, prompts: list[str], own: list[str]
) -> Float[np.ndarray, "head prompt"]:
    """Change of each prompt's own label without each head, layer by layer."""
    nothing = ablate_zero(model.d_head)
    conditions = [
        (
            Condition(
                f"{layer}:{head}", (Intervention(Site("z", layer, head), nothing, Prompt()),)
            ),
            {"kind": "ablation", "layer": layer, "head": head},
        )
        for layer in range(model.n_layers)
        for head in range(model.n_heads)
    ]
    outcomes = continue_greedily(model, goemotions, prompts, [AS_IT_IS, *conditions])
    columns = [goemotions.keys.index(key) for key in own]
    # Conditions of one prompt stand together.
    scores = outcomes.values(goemotions.keys).reshape(len(prompts), 1 + len(conditions), -1)
    found = scores[np.arange(len(prompts)), :, columns].T
    changes: np.ndarray = found[1:] - found[0]
    return changes
