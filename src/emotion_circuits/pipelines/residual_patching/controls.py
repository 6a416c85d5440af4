"""Controls of the emotions' sweep, and the layers and strengths at which they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emotion_circuits.experiments import Choice
from emotion_circuits.experiments.directions import (
    Controls,
    Vectors,
    random_control,
    shuffled_controls,
)
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.geometry import pool_positions
from emotion_circuits.interventions import Condition
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.seeds import seed_for


def controlled_vectors(
    vectors: Vectors, choices: Mapping[str, Choice], settings: SteeringSettings
) -> Vectors:
    """Select the vectors at the layers at which controls run."""

    def is_wanted(emotion: str, layer: int) -> bool:
        if settings.random_layers == "selected":
            return layer == choices[emotion].layer
        return settings.random_layers == "all" or layer in settings.random_layers

    return {key: vector for key, vector in vectors.items() if is_wanted(*key)}


def draw_controls(
    vectors: Vectors,
    activations: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    emotions: EmotionSet,
    settings: SteeringSettings,
) -> dict[str, Controls]:
    """Draw random and shuffled controls by emotion and layer, each with its own seed.

    Args:
        vectors: The emotion vectors whose lengths are matched.
        activations: Phase 2's result.
        emotion_vectors: Phase 3's vectors, whose metadata describes the pooling.
        emotions: The study's emotions.
        settings: Numbers of controls, and the seed.
    """
    random = {
        (emotion, layer): [
            random_control(vector, seed_for(settings.seed, "random", emotion, layer, index))
            for index in range(settings.num_random)
        ]
        for (emotion, layer), vector in vectors.items()
    }
    seeds = {
        emotion: [
            seed_for(settings.seed, "shuffled", emotion, index)
            for index in range(settings.num_shuffled)
        ]
        for emotion in emotions.names
    }
    metadata = emotion_vectors["metadata"]
    pooled = pool_positions(
        activations,
        emotions,
        hook_point=metadata["hook_pos"],
        strategy=metadata["position_strategy"],
        layers=sorted({layer for _, layer in vectors}),
    )
    shuffled = shuffled_controls(pooled, vectors, seeds, split=metadata["split"])
    return {"random": random, "shuffled": shuffled}


def control_conditions(
    controls: Mapping[str, Controls],
    choices: Mapping[str, Choice],
    settings: SteeringSettings,
) -> Iterator[tuple[Condition, dict[str, Any]]]:
    """Yield the conditions of all controls at the strengths of the settings."""
    for kind, of_kind in controls.items():
        for (emotion, layer), drawn in of_kind.items():
            every = settings.random_alphas == "all"
            yield from settings.steering().conditions(
                kind,
                emotion,
                layer,
                [control.direction for control in drawn],
                settings.alphas if every else [choices[emotion].alpha],
            )


def other_seeds(settings: SteeringSettings) -> list[int]:
    """Return seeds for further samples of the baseline; none for greedy decoding."""
    if settings.sampling == "greedy":
        return []
    return [seed_for(settings.seed, "reseeded", index) for index in range(settings.num_random)]
