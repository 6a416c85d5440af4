"""Gate: do the two models share emotion subspaces, up to a linear map?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.embedded_world.emotions import EMOTIONS, NEUTRAL
from emotion_circuits.geometry import MapOptions, fit_map, match_layers, paired_differences
from emotion_circuits.geometry.overlaps import (
    Both,
    LayerPair,
    Overlaps,
    measure_overlaps,
)
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.statistics import max_t_p
from emotion_circuits.training.gates.pooling import pool_prompts

K_MAX: Final = 4


def overlap_gate(
    model: LanguageModel,
    other: LanguageModel,
    world: WorldSettings,
    *,
    n_prompts: int,
    n_permutations: int,
    steering_layer: int,
    seed: int,
) -> dict[str, Any]:
    """Map one model's emotion subspaces into the other's residual stream and compare them.

    The map is a ridge regression between the models' mean activations on the same neutral prompts
    of training combinations; layers are matched by relative depth. Subspaces are fitted on test
    combinations. The null distribution permutes the pairing of the neutral prompts.

    Args:
        model: The language model to map from.
        other: The language model to map into.
        world: The settings of the world that both were trained in.
        n_prompts: Number of neutral prompts for the map, and of prompt sets for the subspaces.
        n_permutations: Number of permutations.
        steering_layer: The layer of ``model`` that was chosen for steering, where the emotion
            directions are known to act.
        seed: Seed for drawing prompts and permutations.

    Returns:
        ``other``, ``n_permutations``, ``steering_layer``, and the result of ``rate_overlaps``.
    """
    paired = emotion_prompts(world, split="train", n_per_emotion=n_prompts, seed=seed + 4000)
    paired = paired[paired["emotion"] == NEUTRAL]
    prompts = emotion_prompts(world, split="test", n_per_emotion=n_prompts, seed=seed + 5000)
    neutral = Both(*(pool_prompts(each, paired).values for each in (model, other)))
    pooled = [pool_prompts(each, prompts) for each in (model, other)]
    differences = {
        emotion: Both(*(paired_differences(each, emotion) for each in pooled))
        for emotion in EMOTIONS
    }
    # The stream that the shipped cards were measured with.
    rng = np.random.default_rng(seed)
    shuffles = np.stack([rng.permutation(len(paired)) for _ in range(n_permutations)])
    options = MapOptions(method="ridge")
    overlaps: dict[tuple[int, int], Mapping[str, Overlaps]] = {}
    for layer, matched in match_layers(
        range(model.n_layers),
        range(other.n_layers),
        n_layers_a=model.n_layers,
        n_layers_b=other.n_layers,
    ):
        # One position per prompt: the mean over its tokens.
        layers = LayerPair(
            neutral=Both(neutral.a[:, [layer]], neutral.b[:, [matched]]),
            differences={
                emotion: Both(pair.a[:, layer], pair.b[:, matched])
                for emotion, pair in differences.items()
            },
            trained={},
            emotions=EMOTIONS,
        )
        overlaps[layer, matched] = measure_overlaps(
            layers,
            fit_map(*layers.neutral, options),
            shuffles,
            k_max=K_MAX,
            center=False,
            n_splits=0,
            n_resamples=0,
            seed=seed,
            options=options,
        )
    return {
        "other": other.name,
        "n_permutations": n_permutations,
        "steering_layer": steering_layer,
        **rate_overlaps(overlaps, steering_layer),
    }


def rate_overlaps(
    by_layers: Mapping[tuple[int, int], Mapping[str, Overlaps]], steering_layer: int
) -> dict[str, Any]:
    """Compare overlaps with their null, at the layer of steering and at the best layer.

    Args:
        by_layers: Overlaps by layers (of the mapped model, of the other) and emotion, all with the
            same permutations.
        steering_layer: Layer of the mapped model that was chosen for steering, without a look at
            overlaps.

    Returns:
        ``rows``, a list with one entry per emotion, layers and k: ``emotion``, ``layer``,
        ``other_layer``, ``k``, ``overlap``, ``null_95`` (95th percentile of the null at these
        layers and this k), ``p_value`` (corrected over all layers and k of the emotion; without
        correction, the best of them exceeds its percentile in about half of null studies) and
        ``p_value_layer`` (corrected over the k of this layer alone, for a layer that was chosen
        otherwise).
        ``at_steering``, by emotion: the entry of ``steering_layer`` with the smallest
        ``p_value_layer``.
        ``best``, by emotion: the entry with the smallest ``p_value``. Ties go to the entry that
        exceeds ``null_95`` by most.
    """
    p_values, of_layer = {}, {}
    for emotion in EMOTIONS:
        parts = [overlaps[emotion] for overlaps in by_layers.values() if emotion in overlaps]
        if parts:
            values = max_t_p(
                np.concatenate([part.after for part in parts]),
                np.concatenate([part.null for part in parts], axis=1),
            )
            p_values[emotion] = iter(values.tolist())
            single = [max_t_p(part.after, part.null) for part in parts]
            of_layer[emotion] = iter(np.concatenate(single).tolist())
    lines: list[dict[str, Any]] = [
        {
            "emotion": emotion,
            "layer": layer,
            "other_layer": matched,
            "k": k,
            "overlap": round(float(overlaps.after[k - 1]), 4),
            "null_95": round(float(np.quantile(overlaps.null[:, k - 1], 0.95)), 4),
            "p_value": round(next(p_values[emotion]), 4),
            "p_value_layer": round(next(of_layer[emotion]), 4),
        }
        for (layer, matched), emotions in by_layers.items()
        for emotion, overlaps in emotions.items()
        for k in range(1, len(overlaps.after) + 1)
    ]
    at_steering = [line for line in lines if line["layer"] == steering_layer]
    return {
        "at_steering": _least(at_steering, "p_value_layer"),
        "best": _least(lines, "p_value"),
        "rows": lines,
    }


def _least(lines: list[dict[str, Any]], p_value: str) -> dict[str, dict[str, Any]]:
    """Return each emotion's entry with the smallest p-value, if it has any."""
    return {
        emotion: min(
            (line for line in lines if line["emotion"] == emotion),
            key=lambda line: (line[p_value], line["null_95"] - line["overlap"]),
        )
        for emotion in EMOTIONS
        if any(line["emotion"] == emotion for line in lines)
    }
