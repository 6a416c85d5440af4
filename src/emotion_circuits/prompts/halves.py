"""Two halves of the prompts: what is chosen on one is tested on the other.

Single texts are halved by a seeded hash of the text. Pairs are halved by a hash of their name
alone, within each split of the dataset, since phases that choose different pairs must agree on
the half a pair belongs to: a pair that served to choose heads is never one they are tested on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import pandas as pd

PAIR_HALVES: Final = ("A", "B")


class Halves(NamedTuple):
    """Two sets of texts that share none, each in the order of the texts.

    Attributes:
        select: Layer and strength are chosen on these.
        confirm: What was chosen is measured on these.
    """

    select: list[str]
    confirm: list[str]


def halve_texts(texts: Sequence[str], seed: int) -> Halves:
    """Halve texts, whatever their order; the second half may be larger by one.

    Args:
        texts: Distinct.
        seed: Another seed gives other halves.
    """
    ranked = sorted(texts, key=lambda text: hashlib.sha256(f"{seed}/{text}".encode()).digest())
    select = set(ranked[: len(ranked) // 2])
    return Halves(
        [text for text in texts if text in select],
        [text for text in texts if text not in select],
    )


def halve_pairs(prompts: pd.DataFrame) -> dict[str, str]:
    """Give each pair of a dataset its half.

    Args:
        prompts: The whole dataset, with ``pair_id`` and ``split``; the half of a pair depends on
            all of it.
    """
    halves: dict[str, str] = {}
    for _, lines in prompts.drop_duplicates("pair_id").groupby("split"):
        for place, pair in enumerate(sorted(lines["pair_id"], key=pair_rank)):
            halves[pair] = PAIR_HALVES[place % 2]
    return halves


def pair_rank(pair: str) -> str:
    """Give a sort key of a pair that says nothing about its content or its place in the table."""
    return hashlib.sha256(str(pair).encode()).hexdigest()
