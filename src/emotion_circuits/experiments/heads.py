"""Naming heads: single ones, sets written by hand, and random sets of the same size."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from emotion_circuits.errors import InputError
from emotion_circuits.seeds import rng_for


class Head(NamedTuple):
    """One query head.

    Attributes:
        layer: Counted from 0.
        head: Counted from 0.
    """

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.head}"


_ITEM: Final = re.compile(r"(?P<layer>\d+):(?:(?P<every>\*)|(?P<first>\d+)(?:-(?P<last>\d+))?)")
_FORMS: Final = "allowed are all, 0:3 (layer:head), 0:0-11 and 0:*, separated by spaces"


def parse_heads(spec: str, *, n_layers: int, n_heads: int) -> tuple[Head, ...]:
    """Read a set of heads written by hand.

    Args:
        spec: For example ``0:0 1:3``, ``0:0-11``, ``2:*`` or ``all``.
        n_layers: Of the model.
        n_heads: Query heads per layer.

    Returns:
        The heads, each once, by layer and head: in a set, order has no meaning.

    Raises:
        InputError: If an item cannot be read, runs backwards or names a head that is not there.
    """
    found: set[Head] = set()
    items = spec.replace(",", " ").split()
    if not items:
        raise InputError(f"head spec {spec!r} names no head; {_FORMS}")
    for item in items:
        if item == "all":
            found |= {Head(layer, head) for layer in range(n_layers) for head in range(n_heads)}
            continue
        match = _ITEM.fullmatch(item)
        if match is None:
            raise InputError(f"head spec {item!r} cannot be read; {_FORMS}")
        layer = int(match["layer"])
        first = 0 if match["every"] else int(match["first"])
        last = n_heads - 1 if match["every"] else int(match["last"] or first)
        if layer >= n_layers:
            raise InputError(
                f"head spec {item!r}: layer {layer} is out of range; "
                f"allowed are 0 to {n_layers - 1}"
            )
        if first > last:
            raise InputError(
                f"head spec {item!r}: the range runs backwards; nearest: {layer}:{last}-{first}"
            )
        if last >= n_heads:
            raise InputError(
                f"head spec {item!r}: head {last} is out of range; allowed are 0 to {n_heads - 1}"
            )
        found |= {Head(layer, head) for head in range(first, last + 1)}
    return tuple(sorted(found))


def format_heads(heads: Iterable[tuple[int, int]]) -> str:
    """Write heads as ``parse_heads`` reads them."""
    return " ".join(f"{layer}:{head}" for layer, head in sorted(heads))


def random_heads(
    heads: Sequence[tuple[int, int]],
    *,
    layers: Sequence[int],
    n_heads: int,
    n_draws: int,
    seed: int,
    same_layers: bool = False,
) -> list[tuple[Head, ...]]:
    """Draw sets as large as a given one from the heads that are not in it.

    Heads of the set itself are left out: in a small model a random set would hold some of them,
    and the control would show part of the effect it is to be compared with.

    Args:
        heads: The set to match.
        layers: Layers to draw from.
        n_heads: Query heads per layer.
        n_draws: How many sets.
        seed: Settles the draws; the order of ``heads`` does not matter.
        same_layers: Take as many from each layer as the set has there; where a layer has too few
            others, the rest comes from anywhere.

    Returns:
        The sets, sorted. Fewer than asked for, or none, where no set of that size is left.
    """
    chosen = {Head(*head) for head in heads}
    rest = [
        Head(layer, head)
        for layer in layers
        for head in range(n_heads)
        if Head(layer, head) not in chosen
    ]
    if len(rest) < len(chosen) or not chosen:
        return []
    rng = rng_for(seed, "random_heads", format_heads(chosen))
    found: dict[tuple[Head, ...], None] = {}
    # A set drawn before is drawn again; where hardly another exists, fewer must do.
    for _ in range(20 * n_draws):
        if len(found) == n_draws:
            break
        found[_draw(chosen, rest, rng, same_layers=same_layers)] = None
    return list(found)


def _draw(
    chosen: set[Head], rest: list[Head], rng: np.random.Generator, *, same_layers: bool
) -> tuple[Head, ...]:
    shuffled = [rest[place] for place in rng.permutation(len(rest))]
    if not same_layers:
        return tuple(sorted(shuffled[: len(chosen)]))
    wanted = Counter(head.layer for head in chosen)
    taken: list[Head] = []
    for head in shuffled:
        if wanted[head.layer]:
            wanted[head.layer] -= 1
            taken.append(head)
    others = [head for head in shuffled if head not in taken]
    return tuple(sorted([*taken, *others[: len(chosen) - len(taken)]]))
