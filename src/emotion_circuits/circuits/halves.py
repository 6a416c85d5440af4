"""Choosing prompts, in two halves: heads chosen on one are tested on the other."""

from __future__ import annotations

import hashlib
import logging
from typing import Final

import pandas as pd

from emotion_circuits.emotions import LABELS, NEUTRAL
from emotion_circuits.errors import InputError

logger = logging.getLogger(__name__)

HALVES: Final = ("A", "B")


def choose_prompts(prompts: pd.DataFrame, *, split: str, limit: int | None) -> pd.DataFrame:
    """Choose pairs of prompts and give each pair a half.

    Several texts of an emotion may share a neutral one. Which half a pair belongs to depends on
    the whole table alone, not on what is chosen from it. So phases that choose differently still
    agree, and a pair that served to select heads is never one they are tested on.

    Args:
        prompts: Phase 1's table.
        split: ``train``, ``test`` or ``all``.
        limit: At most so many pairs, as many from one half as from the other; None for all.

    Returns:
        ``text``, ``emotion``, ``pair_id``, ``cue`` and ``half``, pairs in an order settled by
        their names, labels in the study's order, with a new index.

    Raises:
        InputError: If a pair lacks its neutral text or has several, or a half is empty.
    """
    wanted = prompts if split == "all" else prompts[prompts["split"] == split]
    alone = ~wanted["pair_id"].isin(wanted.loc[wanted["emotion"] != NEUTRAL, "pair_id"])
    if alone.any():
        logger.info("%d neutral texts have no partner and are left out", int(alone.sum()))
    wanted = wanted[~alone]
    first = prompts.drop_duplicates("pair_id")
    half_of: dict[str, str] = {}
    for _, rows in first.groupby("split"):
        for place, pair in enumerate(sorted(rows["pair_id"], key=_rank)):
            half_of[pair] = HALVES[place % 2]
    pairs = sorted(wanted["pair_id"].unique(), key=_rank)
    kept: set[str] = set()
    for place, half in enumerate(HALVES):
        of_half = [pair for pair in pairs if half_of[pair] == half]
        share = len(of_half) if limit is None else (limit + 1 - place) // 2
        if not of_half[:share]:
            raise InputError(
                f"{len(pairs)} pair(s) in split {split!r} with limit {limit} leave half {half} "
                "empty; at least two pairs are needed, to choose heads on some and test on others"
            )
        kept.update(of_half[:share])
    chosen = wanted[wanted["pair_id"].isin(kept)]
    for pair, rows in chosen.groupby("pair_id"):
        _check_pair(str(pair), rows["emotion"].tolist())
    table = chosen.assign(
        half=chosen["pair_id"].map(half_of),
        pair_rank=chosen["pair_id"].map(_rank),
        label_rank=chosen["emotion"].map(LABELS.index),
        cue=chosen.get("cue", ""),
    ).sort_values(["pair_rank", "label_rank"], kind="stable")
    return table[["text", "emotion", "pair_id", "cue", "half"]].reset_index(drop=True)


def _rank(pair: str) -> str:
    """Give a number to a pair that says nothing about its content or its place in the table."""
    return hashlib.sha256(str(pair).encode()).hexdigest()


def _check_pair(pair: str, labels: list[str]) -> None:
    if NEUTRAL not in labels:
        raise InputError(
            f"pair {pair!r} has {', '.join(labels)} but no neutral partner; each emotion's text "
            "needs the neutral text of its pair"
        )
    if labels.count(NEUTRAL) > 1:
        raise InputError(f"pair {pair!r} has {labels.count(NEUTRAL)} neutral texts; allowed is 1")


def pair_rows(chosen: pd.DataFrame, emotion: str) -> list[tuple[int, int]]:
    """Give the rows of each pair's emotion text and neutral text, for pairs that have the emotion.

    Args:
        chosen: What ``choose_prompts`` gives.
        emotion: Not neutral.
    """
    neutral = {
        pair: row
        for row, (pair, label) in enumerate(zip(chosen["pair_id"], chosen["emotion"], strict=True))
        if label == NEUTRAL
    }
    return [
        (row, neutral[pair])
        for row, (pair, label) in enumerate(zip(chosen["pair_id"], chosen["emotion"], strict=True))
        if label == emotion
    ]
