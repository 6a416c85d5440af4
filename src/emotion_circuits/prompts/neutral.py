"""Choice of the neutral prompts whose continuations are steered."""

from __future__ import annotations

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.prompts.clusters import CLUSTER, clusters_of
from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.prompts.records import PromptSource
from emotion_circuits.prompts.standard_form import standard_form


def choose_neutral(
    prompts: pd.DataFrame,
    fresh: PromptSource,
    emotions: EmotionSet,
    *,
    split: str,
    limit: int | None,
) -> dict[str, str]:
    """Choose neutral prompts, each with its cluster.

    Args:
        prompts: Phase 1's table.
        fresh: The profile's further prompts; those that the table already has are left out.
        emotions: The study's emotions.
        split: ``fresh``, or a split of the table: ``train``, ``test`` or ``all``.
        limit: Largest number of prompts; None for all.

    Returns:
        The cluster of each distinct text (see ``clusters_of``), in the order of their file.

    Raises:
        InputError: If a fresh prompt is invalid, or if there are fewer than two prompts, which
            must fill two halves.
    """
    if split == "fresh":
        table = _with_clusters(standard_form(fresh, emotions, on_duplicate="drop").table)
        table = table[~table["text"].isin(prompts["text"])]
        where = f"{fresh.name} (fresh_prompts of the profile) beside the dataset"
    else:
        table = _with_clusters(prompts)
        table = table if split == "all" else table[table["split"] == split]
        where = f"split {split!r} of the dataset"
    neutral = table[table["emotion"] == emotions.neutral].drop_duplicates("text")[:limit]
    chosen = dict(zip(neutral["text"], neutral[CLUSTER], strict=True))
    if len(chosen) < 2:
        raise InputError(
            f"residual_patching needs two {emotions.neutral} prompts or more; {where} has "
            f"{len(chosen)}"
        )
    return chosen


def _with_clusters(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{CLUSTER: clusters_of(table).to_numpy()})
