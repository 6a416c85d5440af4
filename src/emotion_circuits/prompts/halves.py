"""Two halves of the prompts: one for choices, the other to test them.

Halves share no cluster. A cluster is a template, or a pair or text where there is no template:
texts of one template are alike, so a choice made on some of them is not independent of the others.
Phases that use different pairs of a dataset agree on each pair's half, and heads are never tested
on a template that served to choose them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from emotion_circuits.prompts.clusters import clusters_of
from emotion_circuits.seeds import rng_for

PAIR_HALVES: Final = ("A", "B")
# Pairs have one pair of halves in all phases, whatever the phases' own seeds.
_SEED_OF_PAIRS: Final = 0

_N_DRAWS: Final = 256
# A draw is accepted if each half has 45 to 55 % of each label, give or take one text.
_LARGEST_IMBALANCE: Final = 0.1


class Halves(NamedTuple):
    """Two disjoint lists of texts, each in the original order.

    Attributes:
        select: Texts on which layer and strength are chosen.
        confirm: Texts on which the chosen layer and strength are measured.
    """

    select: list[str]
    confirm: list[str]


def halve_clusters(
    labels: Sequence[object], clusters: Sequence[object], *, seed: int
) -> Bool[np.ndarray, " item"]:
    """Divide items into two halves that share no cluster and are balanced in labels and size.

    Clusters are sorted by main label and size, and neighbours in this order go to different
    halves, so that the numbers of clusters differ by at most one. Which of the two goes where is
    drawn: the first draw with 45 to 55 % of each label in each half is taken, or else the draw
    with the least imbalance. The halves depend neither on the order of items nor on what was
    measured on them.

    Args:
        labels: Label of each item, which both halves shall have equally often.
        clusters: Name of each item's cluster.
        seed: Seed of the draw.

    Returns:
        For each item whether it is in the first half, which is the smaller one. With fewer than
        two clusters, the first half is empty.

    Source: matched pairs with rerandomization, Morgan and Rubin 2012, doi:10.1214/12-AOS1008.
    """
    names, codes = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    _, label_codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if len(names) < 2:
        return np.zeros(len(codes), dtype=bool)
    counts = np.zeros((len(names), int(label_codes.max()) + 1))
    np.add.at(counts, (codes, label_codes), 1)
    keys = [_rank(f"{seed}/{name}") for name in names]
    order = sorted(range(len(names)), key=lambda i: (counts[i].argmax(), -counts[i].sum(), keys[i]))
    side = np.empty(len(names))
    signs = _balanced_signs(counts[order], seed)
    side[order[0::2]] = signs
    side[order[1::2]] = -signs[: len(names) // 2]
    total = float(side @ counts.sum(axis=1)) or float(side.sum())
    first: np.ndarray = (side < 0 if total > 0 else side > 0)[codes]
    return first


def _balanced_signs(
    counts: Float[np.ndarray, "cluster label"], seed: int
) -> Float[np.ndarray, " pair"]:
    """Draw for each pair of neighbours which one goes to which half; the last may be alone."""
    alone = np.zeros((len(counts) % 2, counts.shape[1]))
    differences = counts[0::2] - np.concatenate([counts[1::2], alone])
    n = len(differences)
    rng = rng_for(seed, "halves_of_clusters")
    if 2**n <= _N_DRAWS:
        draws = rng.permutation(np.array(list(product((1.0, -1.0), repeat=n))))
    else:
        draws = rng.integers(0, 2, size=(_N_DRAWS, n)) * 2.0 - 1.0
    # An odd number of texts cannot be halved.
    excess = np.maximum(np.abs(draws @ differences) - 1, 0) / counts.sum(axis=0)
    imbalance = excess.max(axis=1)
    balanced = np.flatnonzero(imbalance <= _LARGEST_IMBALANCE)
    signs: np.ndarray = draws[balanced[0] if len(balanced) else imbalance.argmin()]
    return signs


def halve_texts(
    texts: Sequence[str], seed: int, clusters: Mapping[str, str] | None = None
) -> Halves:
    """Halve texts independently of their order; the second half is not smaller.

    Args:
        texts: Distinct texts of one label.
        seed: Seed of the halves.
        clusters: Cluster of each text. If None, or if all texts are of one cluster, each text is
            its own.
    """
    of_text = {text: text if clusters is None else clusters[text] for text in texts}
    if len(set(of_text.values())) < 2:
        of_text = {text: text for text in texts}
    first = halve_clusters([""] * len(texts), list(of_text.values()), seed=seed).tolist()
    return Halves(
        [text for text, is_first in zip(texts, first, strict=True) if is_first],
        [text for text, is_first in zip(texts, first, strict=True) if not is_first],
    )


def halve_pairs(prompts: pd.DataFrame) -> dict[str, str]:
    """Return the half of each pair of a dataset, by ``pair_id``.

    Halves are balanced in the labels of each split.

    Args:
        prompts: The whole dataset, with ``text``, ``emotion``, ``pair_id``, ``split`` and, if
            known, ``template_id``. A subset would yield other halves.
    """
    labels = prompts["split"].astype(str) + "/" + prompts["emotion"].astype(str)
    second = halve_clusters(labels.tolist(), clusters_of(prompts).tolist(), seed=_SEED_OF_PAIRS)
    halves = np.where(second, PAIR_HALVES[1], PAIR_HALVES[0]).tolist()
    return dict(zip(prompts["pair_id"], halves, strict=True))


def pair_rank(pair: str) -> str:
    """Return a pair's sort key, which is independent of its content and position in the table."""
    return _rank(str(pair))


def _rank(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
