"""Pairs of prompts: each emotion's text with the neutral text of its scenario."""

from __future__ import annotations

import logging

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.prompts.clusters import CLUSTER, clusters_of
from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.prompts.halves import PAIR_HALVES, halve_pairs, pair_rank

logger = logging.getLogger(__name__)


def choose_pairs(
    prompts: pd.DataFrame, emotions: EmotionSet, *, split: str, limit: int | None
) -> pd.DataFrame:
    """Choose pairs of prompts and assign each pair to its half.

    Several texts of an emotion may share one neutral text.

    Args:
        prompts: Phase 1's table.
        emotions: The study's emotions.
        split: ``train``, ``test`` or ``all``.
        limit: Largest number of pairs, taken equally from both halves; None for all.

    Returns:
        Table of ``text``, ``emotion``, ``pair_id``, ``cue``, ``half`` and ``cluster`` (see
        ``clusters_of``) with a new index. Pairs are ordered by a hash of their names, labels in
        the study's order.

    Raises:
        InputError: If a pair lacks a neutral text or has several, or a half is empty.
    """
    prompts = prompts.assign(**{CLUSTER: clusters_of(prompts).to_numpy()})
    wanted = prompts if split == "all" else prompts[prompts["split"] == split]
    neutral = emotions.neutral
    alone = ~wanted["pair_id"].isin(wanted.loc[wanted["emotion"] != neutral, "pair_id"])
    if alone.any():
        logger.info("%d %s texts have no partner and are left out", int(alone.sum()), neutral)
    wanted = wanted[~alone]
    half_of = halve_pairs(prompts)
    kept = _limit(list(wanted["pair_id"].unique()), half_of, split, limit)
    chosen = wanted[wanted["pair_id"].isin(kept)]
    for pair, lines in chosen.groupby("pair_id"):
        _check_pair(str(pair), lines["emotion"].tolist(), neutral)
    table = chosen.assign(
        half=chosen["pair_id"].map(half_of),
        pair_rank=chosen["pair_id"].map(pair_rank),
        label_rank=chosen["emotion"].map(emotions.place),
        cue=chosen.get("cue", ""),
    ).sort_values(["pair_rank", "label_rank"], kind="stable")
    return table[["text", "emotion", "pair_id", "cue", "half", CLUSTER]].reset_index(drop=True)


def _limit(pairs: list[str], half_of: dict[str, str], split: str, limit: int | None) -> set[str]:
    """Return the first pairs of each half, up to the limit."""
    kept: set[str] = set()
    for number, half in enumerate(PAIR_HALVES):
        of_half = sorted((pair for pair in pairs if half_of[pair] == half), key=pair_rank)
        share = len(of_half) if limit is None else (limit + 1 - number) // 2
        if not of_half[:share]:
            raise InputError(
                f"{len(pairs)} pair(s) in split {split!r} with limit {limit} leave half {half} "
                "empty; at least two pairs are needed, to choose heads on some and test on others"
            )
        kept.update(of_half[:share])
    return kept


def _check_pair(pair: str, labels: list[str], neutral: str) -> None:
    if neutral not in labels:
        raise InputError(
            f"pair {pair!r} has {', '.join(labels)} but no {neutral} partner; each emotion's text "
            f"needs the {neutral} text of its pair"
        )
    if labels.count(neutral) > 1:
        raise InputError(f"pair {pair!r} has {labels.count(neutral)} {neutral} texts; allowed is 1")


def pair_indices(chosen: pd.DataFrame, emotions: EmotionSet, emotion: str) -> list[tuple[int, int]]:
    """Return the indices of each pair's emotion text and neutral text.

    Args:
        chosen: The result of ``choose_pairs``.
        emotions: The study's emotions.
        emotion: An emotion of the study; pairs without a text of it are left out.
    """
    labels = list(zip(chosen["pair_id"], chosen["emotion"], strict=True))
    neutral = {pair: i for i, (pair, label) in enumerate(labels) if label == emotions.neutral}
    return [(i, neutral[pair]) for i, (pair, label) in enumerate(labels) if label == emotion]
