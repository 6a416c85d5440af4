"""Can the emotion that a language model expresses be moved by the mean-difference vector?"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.embedded_world.reactions import GOEMOTIONS
from emotion_circuits.emotions import EMOTIONS, NEUTRAL
from emotion_circuits.geometry import PooledActivations, emotion_vectors
from emotion_circuits.training.classifier_training import predict
from emotion_circuits.training.gates.continuations import Continuations, continue_greedily
from emotion_circuits.training.gates.intervals import bootstrap_interval, paired_d
from emotion_circuits.training.gates.plain_hooks import mean_streams
from emotion_circuits.training.trained import Trained

OWN_LABEL: Final = {"gratitude": "gratitude", "anger": "anger", "apology": "remorse"}
ALPHAS: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
# What a choice on validation prompts may cost, in nats per token: below what the gate allows.
_COST_WANTED: Final = 0.4
_CONDITIONS_AT_A_TIME: Final = 32


def pool_prompts(trained: Trained, prompts: Any, split: str = "train") -> PooledActivations:
    """Read prompts, and give their mean streams as the project's geometry wants them."""
    values = mean_streams(trained, prompts["text"].tolist())
    return PooledActivations(
        values=values,
        labels=prompts["emotion"].to_numpy(),
        pair_ids=prompts["pair_id"].to_numpy(),
        splits=np.full(len(prompts), split),
        prompts=prompts["text"].to_numpy(),
        layer_indices=tuple(range(values.shape[1])),
    )


def steering_gate(
    trained: Trained,
    goemotions: Trained,
    world: WorldSettings,
    *,
    n_prompts: int,
    n_random: int,
    seed: int,
) -> dict[str, Any]:
    """Steer neutral prompts by each emotion's vector, and by random ones of the same length.

    The vectors come from prompts of training combinations, averaged over their tokens; layer and
    strength are chosen on validation combinations; what is reported is measured on test
    combinations, which neither saw.

    Args:
        trained: The language model.
        goemotions: The evaluator that reads what it says.
        world: The world it was trained in.
        n_prompts: How many neutral test prompts.
        n_random: How many random directions per emotion.
        seed: Draws prompts and directions.

    Returns:
        ``layer`` and ``alpha``; for each emotion ``d`` (paired Cohen's d of its own label with a
        95 % bootstrap interval), ``change`` of that label's mean score, ``cost`` (nats per
        token), ``random_d`` of each random direction and ``random_below_half``; ``specificity``
        (mean change of each label under each emotion's vector); ``distinct`` unsteered texts.
    """
    pooled = pool_prompts(
        trained, emotion_prompts(world, split="train", n_per_emotion=n_prompts, seed=seed)
    )
    vectors = emotion_vectors(pooled)
    choosing = _neutral(world, "validation", max(8, n_prompts // 3), seed)
    layer, alpha, table = _choose(trained, goemotions, vectors, choosing)
    prompts = _neutral(world, "test", n_prompts, seed)
    rng = np.random.default_rng(seed)
    directions = {emotion: alpha * vectors[emotion][layer] for emotion in EMOTIONS}
    for emotion in EMOTIONS:
        for number in range(n_random):
            drawn = rng.standard_normal(len(directions[emotion]))
            scale = np.linalg.norm(directions[emotion]) / np.linalg.norm(drawn)
            directions[f"{emotion}/{number}"] = drawn * scale
    base = _say(trained, goemotions, prompts, [(0, np.zeros(vectors["anger"].shape[1]))])[0]
    said = _say(trained, goemotions, prompts, [(layer, vector) for vector in directions.values()])
    by_name = dict(zip(directions, said, strict=True))
    return {
        "layer": layer,
        "alpha": alpha,
        "n_prompts": n_prompts,
        "n_random": n_random,
        "distinct": len(set(base[0].texts)),
        "emotions": {
            emotion: _effect(emotion, base, by_name, n_random, rng) for emotion in EMOTIONS
        },
        "specificity": {
            emotion: {
                label: round(float((by_name[emotion][1] - base[1])[:, _column(label)].mean()), 4)
                for label in OWN_LABEL.values()
            }
            for emotion in EMOTIONS
        },
        "choice": table,
        "samples": [
            {"situation": prompts[row].strip(), "unsteered": base[0].texts[row]}
            | {emotion: by_name[emotion][0].texts[row] for emotion in EMOTIONS}
            for row in range(min(3, n_prompts))
        ],
    }


def _neutral(world: WorldSettings, split: str, n: int, seed: int) -> list[str]:
    # Another seed than the one the shipped dataset was drawn with.
    prompts = emotion_prompts(world, split=split, n_per_emotion=n, seed=seed + 1000)
    texts: list[str] = prompts["text"][prompts["emotion"] == NEUTRAL].tolist()
    return texts


def _column(label: str) -> int:
    return GOEMOTIONS.index(label)


_Said = tuple[Continuations, Float[np.ndarray, "prompt label"]]


def _say(
    trained: Trained,
    goemotions: Trained,
    prompts: list[str],
    conditions: list[tuple[int, Float[np.ndarray, " d_model"]]],
) -> list[_Said]:
    """Continue each prompt under each condition, a layer with what is added there."""
    n, n_layers = len(prompts), trained.model.config.num_hidden_layers
    found = []
    for start in range(0, len(conditions), _CONDITIONS_AT_A_TIME):
        chunk = conditions[start : start + _CONDITIONS_AT_A_TIME]
        vectors = torch.zeros(len(chunk) * n, n_layers, trained.model.config.hidden_size)
        for number, (layer, vector) in enumerate(chunk):
            vectors[number * n : (number + 1) * n, layer] = torch.from_numpy(vector).float()
        said = continue_greedily(trained, prompts * len(chunk), vectors=vectors)
        scores = predict(goemotions.model, goemotions.tokenizer, said.texts).numpy()
        for number in range(len(chunk)):
            rows = slice(number * n, (number + 1) * n)
            found.append((Continuations(said.texts[rows], said.nll[rows]), scores[rows]))
    return found


def _choose(
    trained: Trained,
    goemotions: Trained,
    vectors: dict[str, Float[np.ndarray, "layer d_model"]],
    prompts: list[str],
) -> tuple[int, float, list[dict[str, Any]]]:
    """Choose the layer and strength that move the least moved emotion most, at a fair cost."""
    n_layers, width = vectors["anger"].shape
    base = _say(trained, goemotions, prompts, [(0, np.zeros(width))])[0]
    grid = [(layer, alpha) for layer in range(n_layers) for alpha in ALPHAS]
    said = _say(
        trained,
        goemotions,
        prompts,
        [(layer, alpha * vectors[e][layer]) for layer, alpha in grid for e in EMOTIONS],
    )
    table = []
    for number, (layer, alpha) in enumerate(grid):
        row: dict[str, Any] = {"layer": layer, "alpha": alpha, "change": {}, "cost": {}}
        for place, emotion in enumerate(EMOTIONS):
            texts, scores = said[number * len(EMOTIONS) + place]
            moved = (scores - base[1])[:, _column(OWN_LABEL[emotion])]
            row["change"][emotion] = round(float(moved.mean()), 4)
            row["cost"][emotion] = round(float((texts.nll - base[0].nll).mean()), 4)
        table.append(row)

    def worth(row: dict[str, Any]) -> float:
        excess: float = max(0.0, max(row["cost"].values()) - _COST_WANTED)
        least: float = min(row["change"].values())
        return least - 10 * excess

    layer, alpha = grid[int(np.argmax([worth(row) for row in table]))]
    return layer, alpha, table


def _effect(
    emotion: str, base: _Said, by_name: dict[str, _Said], n_random: int, rng: np.random.Generator
) -> dict[str, Any]:
    column = _column(OWN_LABEL[emotion])
    moved = (by_name[emotion][1] - base[1])[:, column]
    d = bootstrap_interval(moved, paired_d, rng)
    random_d = [
        paired_d((by_name[f"{emotion}/{number}"][1] - base[1])[:, column])
        for number in range(n_random)
    ]
    cost = by_name[emotion][0].nll - base[0].nll
    return {
        "d": d,
        "change": bootstrap_interval(moved, np.mean, rng),
        "cost": bootstrap_interval(cost, np.mean, rng),
        "random_d": [round(value, 4) for value in random_d],
        "random_below_half": round(float(np.mean(np.abs(random_d) < d["value"] / 2)), 4),
    }
