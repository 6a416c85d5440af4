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
    layers_up_to: float,
    seed: int,
) -> dict[str, Any]:
    """Measure all gates of a language model.

    Args:
        trained: The language model.
        other: The other language model, for the overlap gate.
        goemotions: The evaluator that scores continuations.
        world: The settings of the world that all of them were trained in.
        n_texts: Number of texts for the expressed emotion and perplexity.
        n_prompts: Number of sets of four prompts for each of the other gates.
        n_random: Random directions per emotion. The overlap gate uses 5 x ``n_random``
            permutations, but at least 100.
        layers_up_to: Share of the layers, from the first on, that the steering gate chooses from.
        seed: Seed for drawing texts, prompts, directions and permutations.

    Returns:
        The result of ``expressed_gate``, and one entry each for ``data``, ``steering``,
        ``heads``, ``probes`` and ``overlap``.
    """
    model, partner = with_hook_points(trained), with_hook_points(other)
    reader = as_evaluator(goemotions)
    steering = steering_gate(
        model,
        reader,
        world,
        n_prompts=n_prompts,
        n_random=n_random,
        layers_up_to=layers_up_to,
        seed=seed,
    )
    return expressed_gate(model, reader, world, n_texts=n_texts, seed=seed) | {
        "data": data_statistics(trained, world, seed=seed),
        "steering": steering,
        "heads": heads_gate(model, reader, world, n_prompts=n_prompts, seed=seed),
        "probes": probe_gate(model, world, n_prompts=n_prompts, seed=seed),
        "overlap": overlap_gate(
            model,
            partner,
            world,
            n_prompts=n_prompts,
            # With fewer than 100, no corrected p-value could be small.
            n_permutations=max(100, 5 * n_random),
            steering_layer=steering["layer"],
            seed=seed,
        ),
    }
