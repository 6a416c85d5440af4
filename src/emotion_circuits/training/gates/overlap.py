"""Do the two language models hold an emotion in the same place, up to a linear map?"""

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
    seed: int,
) -> dict[str, Any]:
    """Map one model's emotion subspaces into the other's stream, and compare.

    The map is a ridge regression between both models' mean streams on the same neutral prompts of
    training combinations; layers are matched by relative depth. Subspaces are fitted on test
    combinations. The null breaks the pairing of the neutral prompts.

    Args:
        model: The language model to map from.
        other: The language model to map into.
        world: The world both were trained in.
        n_prompts: How many pairs of neutral prompts, and of subspace prompts.
        n_permutations: How often the pairing is broken.
        seed: Draws prompts and permutations.

    Returns:
        ``other``, ``n_permutations``, and what ``rate_overlaps`` gives: ``best`` and ``rows``.
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
    found: dict[tuple[int, int], Mapping[str, Overlaps]] = {}
    for layer, matched in match_layers(
        range(model.n_layers),
        range(other.n_layers),
        n_layers_a=model.n_layers,
        n_layers_b=other.n_layers,
    ):
        # One position for each prompt: its mean.
        layers = LayerPair(
            neutral=Both(neutral.a[:, [layer]], neutral.b[:, [matched]]),
            differences={
                emotion: Both(both.a[:, layer], both.b[:, matched])
                for emotion, both in differences.items()
            },
            trained={},
            emotions=EMOTIONS,
        )
        found[layer, matched] = measure_overlaps(
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
        **rate_overlaps(found),
    }


def rate_overlaps(found: Mapping[tuple[int, int], Mapping[str, Overlaps]]) -> dict[str, Any]:
    """Compare every overlap with broken pairs, and give the best of each emotion.

    Args:
        found: By layers (of the model that is mapped, of the other) and emotion; the same
            permutations everywhere.

    Returns:
        ``rows``, one for each emotion, layers and k: ``emotion``, ``layer``, ``other_layer``,
        ``k``, ``overlap``, ``null_95`` (the null's 95th percentile at these layers and this k
        alone) and ``p_value`` (corrected over all layers and k of the emotion, since the best of
        many exceeds its own percentile in about every second null study). ``best``, by emotion:
        the row of the least p, of equal ones that which exceeds ``null_95`` by most.
    """
    p_values = {}
    for emotion in EMOTIONS:
        parts = [overlaps[emotion] for overlaps in found.values() if emotion in overlaps]
        if parts:
            values = max_t_p(
                np.concatenate([part.after for part in parts]),
                np.concatenate([part.null for part in parts], axis=1),
            )
            p_values[emotion] = iter(values.tolist())
    rows: list[dict[str, Any]] = [
        {
            "emotion": emotion,
            "layer": layer,
            "other_layer": matched,
            "k": k,
            "overlap": round(float(overlaps.after[k - 1]), 4),
            "null_95": round(float(np.quantile(overlaps.null[:, k - 1], 0.95)), 4),
            "p_value": round(next(p_values[emotion]), 4),
        }
        for (layer, matched), emotions in found.items()
        for emotion, overlaps in emotions.items()
        for k in range(1, len(overlaps.after) + 1)
    ]
    best = {
        emotion: min(
            (row for row in rows if row["emotion"] == emotion),
            key=lambda row: (row["p_value"], row["null_95"] - row["overlap"]),
        )
        for emotion in EMOTIONS
    }
    return {"best": best, "rows": rows}
