"""Two halves of the prompts: one for choices, the other to test them.

Single texts are halved by a seeded hash of the text. Pairs are halved by a hash of their name,
within each split of the dataset. Phases that use different pairs thus agree on each pair's half,
and heads are never tested on a pair that served to choose them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import pandas as pd

PAIR_HALVES: Final = ("A", "B")


class Halves(NamedTuple):
    """Two disjoint lists of texts, each in the original order.

    Attributes:
        select: Texts on which layer and strength are chosen.
        confirm: Texts on which the chosen layer and strength are measured.
    """

    select: list[str]
    confirm: list[str]


def halve_texts(texts: Sequence[str], seed: int) -> Halves:
    """Halve texts independently of their order; the second half may be larger by one.

    Args:
        texts: Distinct texts.
        seed: Seed of the halves.
    """
    ranked = sorted(texts, key=lambda text: hashlib.sha256(f"{seed}/{text}".encode()).digest())
    select = set(ranked[: len(ranked) // 2])
    return Halves(
        [text for text in texts if text in select],
        [text for text in texts if text not in select],
    )


def halve_pairs(prompts: pd.DataFrame) -> dict[str, str]:
    """Return the half of each pair of a dataset, by ``pair_id``.

    Args:
        prompts: The whole dataset, with ``pair_id`` and ``split``. A subset would yield other
            halves.
    """
    halves: dict[str, str] = {}
    for _, lines in prompts.drop_duplicates("pair_id").groupby("split"):
        for rank, pair in enumerate(sorted(lines["pair_id"], key=pair_rank)):
            halves[pair] = PAIR_HALVES[rank % 2]
    return halves


def pair_rank(pair: str) -> str:
    """Return a pair's sort key, which is independent of its content and position in the table."""
    return hashlib.sha256(str(pair).encode()).hexdigest()
