"""Controls of the emotions' sweep, and the layers and strengths at which they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emotion_circuits.experiments.choice import HEADLINE, LAST_LAYERS, Choice, Choices
from emotion_circuits.experiments.directions import (
    Controls,
    Vectors,
    covariance_controls,
    measured_activations,
    random_control,
    shuffled_controls,
)
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import Condition
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.seeds import seed_for


def controlled_vectors(vectors: Vectors, choices: Choices, settings: SteeringSettings) -> Vectors:
    """Select the vectors at the layers at which controls run."""

    def is_wanted(emotion: str, layer: int) -> bool:
        if settings.random_layers == "selected":
            return any(choice.layer == layer for choice in _choices_of(emotion, choices))
        return settings.random_layers == "all" or layer in settings.random_layers

    return {key: vector for key, vector in vectors.items() if is_wanted(*key)}


def _choices_of(emotion: str, choices: Choices) -> list[Choice]:
    return [by_emotion[emotion] for by_emotion in choices.values() if emotion in by_emotion]


def draw_controls(
    vectors: Vectors,
    activations: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    emotions: EmotionSet,
    settings: SteeringSettings,
) -> dict[str, Controls]:
    """Draw controls of each kind by emotion and layer, each with its own seed.

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
    split = emotion_vectors["metadata"]["split"]
    pooled = measured_activations(activations, emotion_vectors, emotions, vectors)
    return {
        "random": random,
        "covariance": covariance_controls(
            pooled, vectors, settings.covariance_seeds(vectors), split=split
        ),
        "shuffled": shuffled_controls(pooled, vectors, seeds, split=split),
    }


def control_conditions(
    controls: Mapping[str, Controls], choices: Choices, settings: SteeringSettings
) -> Iterator[tuple[Condition, dict[str, Any]]]:
    """Yield the conditions of all controls at the strengths of the settings."""
    for kind, of_kind in controls.items():
        for (emotion, layer), drawn in of_kind.items():
            yield from settings.steering().conditions(
                kind,
                emotion,
                layer,
                [control.direction for control in drawn],
                _strengths(emotion, layer, choices, settings),
            )


def _strengths(
    emotion: str, layer: int, choices: Choices, settings: SteeringSettings
) -> list[float]:
    """Return the strengths at which an emotion's controls run at a layer."""
    headline = choices[HEADLINE][emotion]
    compared = choices[LAST_LAYERS].get(emotion)
    # The last layers are a comparison: their controls run at the chosen strength only.
    only_compared = settings.random_layers == "selected" and layer != headline.layer
    if settings.random_alphas == "all" and not only_compared:
        return settings.alphas
    strengths = [] if only_compared else [headline.alpha]
    if compared is not None and layer == compared.layer and compared.alpha not in strengths:
        strengths.append(compared.alpha)
    return strengths


def other_seeds(settings: SteeringSettings) -> list[int]:
    """Return seeds for further samples of the baseline; none for greedy decoding."""
    if settings.sampling == "greedy":
        return []
    return [seed_for(settings.seed, "reseeded", index) for index in range(settings.num_random)]
