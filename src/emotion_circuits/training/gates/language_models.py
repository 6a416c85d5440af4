"""All gates of a language model."""

from __future__ import annotations

from typing import Any

from emotion_circuits.embedded_world import WorldSettings
from emotion_circuits.training.gates.continuations import as_evaluator, with_hook_points
from emotion_circuits.training.gates.data import data_statistics
from emotion_circuits.training.gates.expressed import expressed_gate
from emotion_circuits.training.gates.heads import heads_gate
from emotion_circuits.training.gates.overlap import overlap_gate
from emotion_circuits.training.gates.probes import probe_gate
from emotion_circuits.training.gates.steering import steering_gate
from emotion_circuits.training.trained import Trained


def language_model_gates(
    trained: Trained,
    other: Trained,
    goemotions: Trained,
    world: WorldSettings,
    *,
    n_texts: int,
    n_prompts: int,
    n_random: int,
    seed: int,
) -> dict[str, Any]:
    """Measure everything that a language model of the world must be able to do.

    Args:
        trained: The language model.
        other: The other language model, for what both share.
        goemotions: The evaluator that reads what they say.
        world: The world all were trained in.
        n_texts: Texts for the expressed emotion and perplexity.
        n_prompts: Sets of four prompts for each of the other gates.
        n_random: Random directions per emotion; five times as many broken pairings per map, and
            at least 100.
        seed: Draws texts, prompts and directions.

    Returns:
        What ``expressed_gate`` gives, and one entry each for ``data``, ``steering``, ``heads``,
        ``probes`` and ``overlap``.
    """
    model, partner = with_hook_points(trained), with_hook_points(other)
    reader = as_evaluator(goemotions)
    return expressed_gate(model, reader, world, n_texts=n_texts, seed=seed) | {
        "data": data_statistics(trained, world, seed=seed),
        "steering": steering_gate(
            model, reader, world, n_prompts=n_prompts, n_random=n_random, seed=seed
        ),
        "heads": heads_gate(model, reader, world, n_prompts=n_prompts, seed=seed),
        "probes": probe_gate(model, world, n_prompts=n_prompts, seed=seed),
        "overlap": overlap_gate(
            model,
            partner,
            world,
            n_prompts=n_prompts,
            # Below a hundred, no p could be small after correction.
            n_permutations=max(100, 5 * n_random),
            seed=seed,
        ),
    }
