"""Splits, pairs and samples for data that does not bring its own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.seeds import rng_for


def assign_splits(
    table: pd.DataFrame, emotions: EmotionSet, test_fraction: float, seed: int
) -> pd.DataFrame:
    """Hold out templates at random, so that no template is in both splits.

    A text without a template is a template of its own. Within each label as many templates are
    held out, rounded, but at least one and never all, where there are two or more. A template
    with texts of several labels is held out for all of them.

    Args:
        table: Texts with ``emotion`` and ``template_id``.
        emotions: The study's.
        test_fraction: Share of templates to hold out.
        seed: Draws them.

    Returns:
        The table with its column ``split`` filled.
    """
    rows = pd.Series([f"row {row}" for row in range(len(table))], index=table.index)
    groups = table["template_id"].where(table["template_id"] != "", rows)
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
    """Join each emotion text to a neutral text of the same split, nearest in length.

    Texts are taken from the shortest to the longest, each with the neutral text of the same rank
    in length; where there are fewer neutral texts, several emotion texts share one.

    Args:
        table: Texts with ``text``, ``emotion`` and ``split``.
        emotions: The study's.

    Returns:
        The table with its column ``pair_id`` filled: the name of the neutral text.
    """
    pair_ids: dict[object, str] = {}
    lengths = table["text"].str.len()
    for split in ("train", "test"):
        rows = table[table["split"] == split]
        ranked = {
            label: lengths[rows.index[rows["emotion"] == label]].sort_values(kind="stable").index
            for label in emotions.labels
        }
        neutral = ranked[emotions.neutral]
        for rank, row in enumerate(neutral):
            pair_ids[row] = f"{split}_{rank:05d}"
        for emotion in emotions.names:
            count = len(ranked[emotion])
            for rank, row in enumerate(ranked[emotion]):
                if len(neutral):
                    pair_ids[row] = pair_ids[neutral[rank * len(neutral) // count]]
    return table.assign(pair_id=[pair_ids.get(row, "") for row in table.index])


def limit_samples(table: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    """Keep at most so many texts of each label, whole pairs, from both splits.

    Pairs are taken in the order of the table, from each split in proportion to its size, but at
    least one. Pairs that name their emotion and pairs that do not take turns.

    Args:
        table: Texts with ``emotion``, ``pair_id``, ``split`` and ``explicit``.
        limit: How many of each label; None for all.

    Returns:
        The texts that are kept, in the order of the table.
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
