"""Gate: can a probe read the emotion from the residual stream of prompts that do not name it?"""

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
from emotion_circuits.training.gates.intervals import cell
from emotion_circuits.training.gates.pooling import pool_prompts


def probe_gate(
    model: LanguageModel, world: WorldSettings, *, n_prompts: int, seed: int
) -> dict[str, Any]:
    """Fit probes on training combinations, choose the layer on validation, report on test.

    Args:
        model: The language model.
        world: The settings of the world that the model was trained in.
        n_prompts: Number of sets of four prompts in training, and in test.
        seed: Seed for drawing prompts and resamples.

    Returns:
        ``layer``; under ``contrasts``, for each pair of labels, ``residual`` (AUROC of that
        layer's probe on sets that name no emotion) and ``bag_of_words`` (AUROC from word counts).
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
    table = _table(fit, seen, pooled["test"], named["test"], seed)
    at_layer = table[(table["probe"] == "bag_of_words") | (table["layer"] == layer)]
    contrasts: dict[str, dict[str, Any]] = {}
    for line in at_layer.to_dict("records"):
        auroc = cell(line["auroc"], line["ci_lower"], line["ci_upper"])
        contrasts.setdefault(line["contrast"], {})[line["probe"]] = auroc
    return {"layer": layer, "n_prompts": n_prompts, "contrasts": contrasts}


def _table(
    fit: PooledActivations,
    fit_named: np.ndarray,
    scored: PooledActivations,
    scored_named: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    joined = replace(
        fit,
        values=np.concatenate([fit.values, scored.values]),
        labels=np.concatenate([fit.labels, scored.labels]),
        pair_ids=np.concatenate([fit.pair_ids, scored.pair_ids]),
        splits=np.concatenate([fit.splits, scored.splits]),
        prompts=np.concatenate([fit.prompts, scored.prompts]),
        clusters=np.concatenate([fit.clusters, scored.clusters]),
    )
    table = probe_table(
        joined,
        np.concatenate([fit_named, scored_named]),
        n_shuffles=1,
        seed=seed,
    )
    return table[(table["subset"] == "implicit") & (table["probe"] != "residual_shuffled_labels")]
