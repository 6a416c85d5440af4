"""Random circuits of the size of a given one, for a rank p."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from emotion_circuits.circuits.nodes import Edge, Node, Part
from emotion_circuits.seeds import rng_for

Kind = Literal["any", "same_layers", "same_kinds"]


def _layers(part: Node | Edge) -> object:
    return part.layer if isinstance(part, Node) else (part.source.layer, part.target.layer)


def _kinds(part: Node | Edge) -> object:
    if isinstance(part, Node):
        return part.kind
    return part.source.kind, part.target.kind, part.port


_GROUPS: dict[Kind, Callable[[Node | Edge], object]] = {
    "any": lambda _: None,
    "same_layers": _layers,
    "same_kinds": _kinds,
}


def permuted_circuits(
    circuits: Sequence[Sequence[Part]],
    parts: Sequence[Part],
    *,
    kind: Kind,
    n_draws: int,
    seed: int,
) -> list[tuple[frozenset[Part], ...]]:
    """Draw images of circuits under random permutations of all nodes or edges.

    The circuits of two halves of the prompts are permuted together, so that their images share as
    many parts as they do. Any part may be drawn, members too. If the choice of circuits does not
    depend on what parts do, it is as likely as each of its images, so a rank among them is a valid
    p-value.

    Args:
        circuits: For example the circuits of both halves.
        parts: All nodes, or all edges.
        kind: ``any`` permutes all parts; ``same_layers`` within layers (of edges: between the same
            two layers); ``same_kinds`` heads among heads and MLPs among MLPs (of edges: with the
            same kinds of source and target and the same port).
        n_draws: Number of images; they may repeat.
        seed: Seed of the draws.

    Source: Phipson and Smyth 2010, doi:10.2202/1544-6115.1585.
    """
    groups: dict[object, list[int]] = {}
    for index, part in enumerate(parts):
        groups.setdefault(_GROUPS[kind](part), []).append(index)
    name = [" ".join(sorted(map(str, circuit))) for circuit in circuits]
    rng = rng_for(seed, "permuted_circuits", kind, *name)
    images = []
    for _ in range(n_draws):
        image = np.arange(len(parts))
        for members in groups.values():
            image[members] = rng.permutation(members)
        to = {part: parts[target] for part, target in zip(parts, image.tolist(), strict=True)}
        images.append(tuple(frozenset(to[part] for part in circuit) for circuit in circuits))
    return images
