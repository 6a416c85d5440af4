"""Gate: does any single head matter far more than the others for the expressed emotion?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
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
from emotion_circuits.prompts import clusters_of, halve_clusters
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.bootstrap import resample_weights
from emotion_circuits.statistics.clusters import number_clusters
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
        measuring half, the head's ``change``, the ``median`` change,
        their ``ratio`` with a 95 % bootstrap interval, and all ``changes`` (layer by head).
    """
    prompts = emotion_prompts(world, split="test", n_per_emotion=n_prompts, seed=seed + 2000)
    prompts = prompts[prompts["emotion"].isin(EMOTIONS) & ~prompts["explicit"]]
    choosing, clusters = halve_prompts(prompts, seed)
    own = [OWN_METRIC[emotion] for emotion in prompts["emotion"]]
    changes = _changes(model, goemotions, prompts["text"].tolist(), own)
    best = int(np.abs(changes[:, choosing].mean(axis=1)).argmax())
    measured, units = changes[:, ~choosing], clusters[~choosing]
    weights = resample_weights(
        len(units),
        n_bootstrap=N_BOOTSTRAP,
        rng=rng_for(seed, "heads_gate"),
        clusters=number_clusters(units.tolist()),
    )
    means = np.abs(measured @ weights.T / weights.sum(axis=1))
    resampled = [_ratio(of_resample, best) for of_resample in means.T]
    by_head = np.abs(measured.mean(axis=1))
    return {
        "layer": best // model.n_heads,
        "head": best % model.n_heads,
        "n_prompts": int((~choosing).sum()),
        "n_templates": len(set(units.tolist())),
        "change": round(float(by_head[best]), 4),
        "median": round(float(np.median(by_head)), 4),
        "ratio": interval(_ratio(by_head, best), resampled),
        "changes": by_head.reshape(-1, model.n_heads).astype(float).round(4).tolist(),
    }


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
