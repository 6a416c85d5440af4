"""Can the emotion be read off the stream where no word names it, and no bag of words tells it?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.embedded_world.emotions import NEUTRAL
from emotion_circuits.geometry import PooledActivations
from emotion_circuits.geometry.probes import pairs_named_outright, probe_table
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.training.gates.intervals import N_BOOTSTRAP, cell
from emotion_circuits.training.gates.pooling import pool_prompts


def probe_gate(
    model: LanguageModel, world: WorldSettings, *, n_prompts: int, seed: int
) -> dict[str, Any]:
    """Fit probes on training combinations, choose the layer on validation, report on test.

    Args:
        model: The language model.
        world: The world it was trained in.
        n_prompts: How many sets of four prompts to fit on, and to report on.
        seed: Draws the prompts.

    Returns:
        ``layer``, and for each contrast of two labels ``residual`` (AUROC at that layer on sets
        that name no emotion) and ``bag_of_words`` (the same from the words alone).
    """
    sizes = {"train": n_prompts, "validation": max(8, n_prompts // 3), "test": n_prompts}
    pooled, named = {}, {}
    for split, size in sizes.items():
        prompts = emotion_prompts(world, split=split, n_per_emotion=size, seed=seed + 3000)
        study = "train" if split == "train" else "test"
        pooled[split] = pool_prompts(model, prompts, study)
        named[split] = pairs_named_outright(
            prompts["pair_id"].to_numpy(),
            prompts["emotion"].to_numpy(),
            prompts["explicit"].to_numpy(),
            neutral=NEUTRAL,
        )
    fit, seen = pooled["train"], named["train"]
    chosen = _table(fit, seen, pooled["validation"], named["validation"], seed)
    layers = chosen[chosen["probe"] == "residual"].groupby("layer")["auroc"].min()
    layer = int(layers.index[int(np.argmax(layers))])
    found = _table(fit, seen, pooled["test"], named["test"], seed)
    at_layer = found[(found["probe"] == "bag_of_words") | (found["layer"] == layer)]
    contrasts: dict[str, dict[str, Any]] = {}
    for row in at_layer.to_dict("records"):
        found_cell = cell(row["auroc"], row["ci_lower"], row["ci_upper"])
        contrasts.setdefault(row["contrast"], {})[row["probe"]] = found_cell
    return {"layer": layer, "n_prompts": n_prompts, "contrasts": contrasts}


def _table(
    fit: PooledActivations,
    fit_named: np.ndarray,
    scored: PooledActivations,
    scored_named: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    both = replace(
        fit,
        values=np.concatenate([fit.values, scored.values]),
        labels=np.concatenate([fit.labels, scored.labels]),
        pair_ids=np.concatenate([fit.pair_ids, scored.pair_ids]),
        splits=np.concatenate([fit.splits, scored.splits]),
        prompts=np.concatenate([fit.prompts, scored.prompts]),
    )
    table = probe_table(
        both,
        np.concatenate([fit_named, scored_named]),
        n_bootstrap=N_BOOTSTRAP,
        n_shuffles=1,
        seed=seed,
    )
    return table[(table["subset"] == "implicit") & (table["probe"] != "residual_shuffled_labels")]
