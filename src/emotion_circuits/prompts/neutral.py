"""Choice of the neutral prompts whose continuations are steered."""

from __future__ import annotations

import pandas as pd

from emotion_circuits.errors import InputError
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
) -> list[str]:
    """Choose neutral prompts.

    Args:
        prompts: Phase 1's table.
        fresh: The profile's further prompts; those that the table already has are left out.
        emotions: The study's emotions.
        split: ``fresh``, or a split of the table: ``train``, ``test`` or ``all``.
        limit: Largest number of prompts; None for all.

    Returns:
        Distinct texts, in the order of their file.

    Raises:
        InputError: If a fresh prompt is invalid, or if there are fewer than two prompts, which
            must fill two halves.
    """
    if split == "fresh":
        table = standard_form(fresh, emotions, on_duplicate="drop").table
        table = table[~table["text"].isin(prompts["text"])]
        where = f"{fresh.name} (fresh_prompts of the profile) beside the dataset"
    else:
        table = prompts if split == "all" else prompts[prompts["split"] == split]
        where = f"split {split!r} of the dataset"
    texts = table.loc[table["emotion"] == emotions.neutral, "text"]
    chosen = list(dict.fromkeys(texts))[:limit]
    if len(chosen) < 2:
        raise InputError(
            f"residual_patching needs two {emotions.neutral} prompts or more; {where} has "
            f"{len(chosen)}"
        )
    return chosen
