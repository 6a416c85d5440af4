"""Statistics of a world's training texts."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from emotion_circuits.embedded_world import World, WorldSettings, generate_texts
from emotion_circuits.embedded_world.world import SPLITS
from emotion_circuits.training.trained import Trained

_N_TEXTS: Final = 4000


def data_statistics(trained: Trained, world: WorldSettings, *, seed: int) -> dict[str, Any]:
    """Compute statistics of fresh training texts.

    Args:
        trained: The language model whose tokenizer counts the tokens.
        world: The settings of the world.
        seed: Seed for drawing the texts.

    Returns:
        ``combinations``: number per split. Over texts: the shares ``distinct`` and ``explicit``;
        the shares of each ``emotion``, ``expressed`` emotion, ``politeness`` and ``intensity``;
        ``situation_tokens`` and ``reaction_tokens`` (mean, 5th and 95th percentile).
    """
    texts = generate_texts(world, split="train", n=_N_TEXTS, seed=seed)

    def lengths(column: str) -> dict[str, float]:
        encoded = trained.tokenizer(texts[column].tolist(), add_special_tokens=False).input_ids
        counts = [len(ids) for ids in encoded]
        lower, upper = np.quantile(counts, [0.05, 0.95])
        return {"mean": round(float(np.mean(counts)), 1), "q05": float(lower), "q95": float(upper)}

    def shares(column: str) -> dict[str, float]:
        levels = texts[column].value_counts(normalize=True).sort_index()
        return {str(name): round(float(share), 3) for name, share in levels.items()}

    return {
        "n_texts": _N_TEXTS,
        "combinations": {split: len(World(world).combinations(split)) for split in SPLITS},
        "distinct": round(texts["text"].nunique() / _N_TEXTS, 3),
        "explicit": round(float(texts["explicit"].mean()), 3),
        **{name: shares(name) for name in ("emotion", "expressed", "politeness", "intensity")},
        "situation_tokens": lengths("situation"),
        "reaction_tokens": lengths("reaction"),
    }
