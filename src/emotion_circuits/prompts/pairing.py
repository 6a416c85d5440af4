"""Splits, pairs and samples for data without its own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.seeds import rng_for


def assign_splits(
    table: pd.DataFrame, emotions: EmotionSet, test_fraction: float, seed: int
) -> pd.DataFrame:
    """Hold out templates at random, so that no template is in both splits.

    A text without a template counts as a template of its own. For each label, the rounded share of
    its templates is held out: of two or more templates, at least one and never all. A template
    with texts of several labels is held out for all of them.

    Args:
        table: Texts with ``emotion`` and ``template_id``.
        emotions: The study's emotions.
        test_fraction: Share of templates to hold out.
        seed: Seed for drawing the templates.

    Returns:
        A copy of the table with the column ``split``.
    """
    own_names = pd.Series([f"row {index}" for index in range(len(table))], index=table.index)
    groups = table["template_id"].where(table["template_id"] != "", own_names)
    held_out: set[str] = set()
    for label in emotions.labels:
        names = sorted(set(groups[table["emotion"] == label]))
        wanted = min(max(1, round(test_fraction * len(names))), len(names) - 1)
        wanted -= len(held_out.intersection(names))
        free = [name for name in names if name not in held_out]
        if wanted > 0:
            rng = rng_for(seed, "held_out_templates", label)
            held_out.update(rng.permutation(np.array(free, dtype=object))[:wanted])
    return table.assign(split=np.where(groups.isin(held_out), "test", "train"))


def pair_texts(table: pd.DataFrame, emotions: EmotionSet) -> pd.DataFrame:
    """Pair each emotion text with a neutral text of the same split by rank in length.

    Each emotion text is paired with the neutral text of the same relative rank in length; where
    there are fewer neutral texts, several emotion texts share one.

    Args:
        table: Texts with ``text``, ``emotion`` and ``split``.
        emotions: The study's emotions.

    Returns:
        A copy of the table with the column ``pair_id``, named after the neutral text.
    """
    pair_ids: dict[object, str] = {}
    lengths = table["text"].str.len()
    for split in ("train", "test"):
        texts = table[table["split"] == split]
        ranked = {
            label: lengths[texts.index[texts["emotion"] == label]].sort_values(kind="stable").index
            for label in emotions.labels
        }
        neutral = ranked[emotions.neutral]
        for rank, index in enumerate(neutral):
            pair_ids[index] = f"{split}_{rank:05d}"
        for emotion in emotions.names:
            count = len(ranked[emotion])
            for rank, index in enumerate(ranked[emotion]):
                if len(neutral):
                    pair_ids[index] = pair_ids[neutral[rank * len(neutral) // count]]
    return table.assign(pair_id=[pair_ids.get(index, "") for index in table.index])


def limit_samples(table: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    """Keep whole pairs from both splits, up to a number of texts per label.

    Pairs are taken in the order of the table, from each split in proportion to its size, but at
    least one. Explicit and implicit pairs alternate.

    Args:
        table: Texts with ``emotion``, ``pair_id``, ``split`` and ``explicit``.
        limit: Largest number of texts per label; None for all.

    Returns:
        The kept texts, in the order of the table.
    """
    if limit is None:
        return table
    pairs = table.groupby("pair_id", sort=False).agg(
        split=("split", "first"), named=("explicit", "any")
    )
    n_test = min(max(1, round(limit * float((pairs["split"] == "test").mean()))), limit - 1)
    kept: list[str] = []
    for split, share in (("train", limit - n_test), ("test", n_test)):
        of_split = pairs[pairs["split"] == split]
        turn = of_split.groupby("named").cumcount()
        kept += of_split.assign(turn=turn).sort_values("turn", kind="stable").index[:share].tolist()
    return table[table["pair_id"].isin(kept)]
