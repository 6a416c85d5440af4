"""Stability of circuits: how alike are those of resampled pairs?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from emotion_circuits.circuits.nodes import Node, Part
from emotion_circuits.seeds import rng_for


class Likeness(NamedTuple):
    """How alike two discoveries are.

    Attributes:
        jaccard: Parts in both circuits as a share of parts in either; NaN for two empty circuits.
        spearman: Rank correlation of the scores of all parts; NaN if a score is equal for all.
    """

    jaccard: float
    spearman: float


def likeness(
    circuits: tuple[Collection[Part], Collection[Part]],
    scores: tuple[Float[np.ndarray, " part"], Float[np.ndarray, " part"]],
) -> Likeness:
    """Compare two discoveries on the same nodes or edges."""
    one, other = map(frozenset, circuits)
    either = one | other
    flat = any(np.ptp(each) == 0 for each in scores)
    return Likeness(
        len(one & other) / len(either) if either else float("nan"),
        float("nan") if flat else float(stats.spearmanr(*scores).statistic),
    )


def resampled_pairs(clusters: Sequence[str], *, n_resamples: int, seed: int) -> list[list[int]]:
    """Draw pairs with replacement, whole clusters at a time.

    Returns:
        Indices of the pairs of each resample.
    """
    members: dict[str, list[int]] = {}
    for index, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(index)
    names = sorted(members)
    rng = rng_for(seed, "pairs_of_circuits")
    return [
        [
            index
            for drawn in rng.integers(0, len(names), len(names))
            for index in members[names[drawn]]
        ]
        for _ in range(n_resamples)
    ]


def pairwise(
    circuits: Sequence[Collection[Node]], scores: Sequence[Float[np.ndarray, " node"]]
) -> list[Likeness]:
    """Compare every two of several discoveries."""
    return [
        likeness((circuits[i], circuits[j]), (scores[i], scores[j]))
        for i, j in combinations(range(len(circuits)), 2)
    ]


def consensus(circuits: Sequence[Collection[Node]], share: float = 0.5) -> dict[Node, float]:
    """Return the nodes in more than a share of circuits, with the share that has them."""
    counts = Counter(node for circuit in circuits for node in set(circuit))
    return {
        node: count / len(circuits)
        for node, count in counts.items()
        if count / len(circuits) > share
    }
