"""Implicit texts: those whose scenario is told without a name for an emotion."""

from __future__ import annotations

import pandas as pd

from emotion_circuits.prompts.emotion_set import EmotionSet


def implicit_texts(prompts: pd.DataFrame, emotions: EmotionSet) -> pd.Series:
    """Return for each text whether no emotion text of its pair names the emotion.

    Neutral texts name no emotion, so their own flag would make all of them implicit.

    Args:
        prompts: Texts with ``emotion``, ``pair_id`` and ``explicit``.
        emotions: The study's emotions.

    Returns:
        Booleans with the index of ``prompts``.
    """
    naming = prompts["explicit"].astype(bool) & (prompts["emotion"] != emotions.neutral)
    return ~prompts["pair_id"].isin(prompts.loc[naming, "pair_id"])
