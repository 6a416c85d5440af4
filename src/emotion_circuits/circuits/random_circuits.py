"""Random circuits of the size of a given one, for a rank p."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from emotion_circuits.circuits.nodes import Node
from emotion_circuits.seeds import rng_for

Circuits = tuple[frozenset[Node], ...]
Kind = Literal["any", "same_layers", "same_kinds"]

_GROUPS: dict[Kind, Callable[[Node], object]] = {
    "any": lambda _: None,
    "same_layers": lambda node: node.layer,
    "same_kinds": lambda node: node.kind,
}


def permuted_circuits(
    circuits: Sequence[Sequence[Node]],
    nodes: Sequence[Node],
    *,
    kind: Kind,
    n_draws: int,
    seed: int,
) -> list[Circuits]:
    """Draw images of circuits under random permutations of all nodes.

    The circuits of two halves of the prompts are permuted together, so that their images share as
    many nodes as they do. Any node may be drawn, members too. If the choice of circuits does not
    depend on what nodes do, it is as likely as each of its images, so a rank among them is a valid
    p-value.

    Args:
        circuits: For example the circuits of both halves.
        nodes: All nodes.
        kind: ``any`` permutes all nodes; ``same_layers`` within layers; ``same_kinds`` heads among
            heads and MLPs among MLPs.
        n_draws: Number of images; they may repeat.
        seed: Seed of the draws.

    Source: Phipson and Smyth 2010, doi:10.2202/1544-6115.1585.
    """
    groups: dict[object, list[int]] = {}
    for index, node in enumerate(nodes):
        groups.setdefault(_GROUPS[kind](node), []).append(index)
    name = [" ".join(sorted(map(str, circuit))) for circuit in circuits]
    rng = rng_for(seed, "permuted_circuits", kind, *name)
    images = []
    for _ in range(n_draws):
        image = np.arange(len(nodes))
        for members in groups.values():
            image[members] = rng.permutation(members)
        to = {node: nodes[target] for node, target in zip(nodes, image.tolist(), strict=True)}
        images.append(tuple(frozenset(to[node] for node in circuit) for circuit in circuits))
    return images
