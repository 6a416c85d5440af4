"""Which controls a sweep of emotions is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from emotion_circuits.emotions import EMOTIONS
from emotion_circuits.pipelines.residual_patching.directions import (
    Control,
    Vectors,
    derive_seed,
    random_control,
    shuffled_controls,
)
from emotion_circuits.pipelines.residual_patching.selection import Choice
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings


class Wanted(NamedTuple):
    """Which vectors are compared with controls, and at which strengths each emotion's are."""

    vectors: Vectors
    alphas: dict[str, list[float]]


def wanted_controls(
    vectors: Vectors, choices: Mapping[str, Choice], settings: ResidualPatchingSettings
) -> Wanted:
    """Say at which layers and strengths controls run."""

    def is_wanted(emotion: str, layer: int) -> bool:
        if settings.random_layers == "selected":
            return layer == choices[emotion].layer
        return settings.random_layers == "all" or layer in settings.random_layers

    alphas = {
        emotion: settings.alphas if settings.random_alphas == "all" else [choice.alpha]
        for emotion, choice in choices.items()
    }
    return Wanted({place: v for place, v in vectors.items() if is_wanted(*place)}, alphas)


def draw_controls(
    vectors: Vectors,
    activations: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    settings: ResidualPatchingSettings,
) -> dict[str, dict[tuple[str, int], list[Control]]]:
    """Draw the controls of both kinds, each with a seed of its own, by emotion and layer."""
    random = {
        (emotion, layer): [
            random_control(
                vector, derive_seed(settings.seed, 0, EMOTIONS.index(emotion), layer, index)
            )
            for index in range(settings.num_random)
        ]
        for (emotion, layer), vector in vectors.items()
    }
    seeds = {
        emotion: [
            derive_seed(settings.seed, 1, rank, index) for index in range(settings.num_shuffled)
        ]
        for rank, emotion in enumerate(EMOTIONS)
    }
    shuffled = shuffled_controls(activations, emotion_vectors, vectors, seeds)
    return {"random": random, "shuffled": shuffled}


def other_seeds(settings: ResidualPatchingSettings) -> list[int]:
    """Give seeds for the baseline drawn again; greedy decoding has no seed to change."""
    if settings.sampling == "greedy":
        return []
    return [derive_seed(settings.seed, 2, index) for index in range(settings.num_random)]


def describe_controls(
    controls: Mapping[tuple[str, int], list[Control]],
) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """Give seed, lengths and cosine of each control, by emotion and layer."""
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for (emotion, layer), drawn in controls.items():
        found.setdefault(emotion, {})[layer] = [
            {
                "seed": control.seed,
                "norm": float(np.linalg.norm(control.direction)),
                "own_norm": control.own_norm,
                "cosine": control.cosine,
            }
            for control in drawn
        ]
    return found
