"""Names of heads: single heads, sets written by hand, and random sets of the same size."""

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
    """Parse a set of heads written by hand.

    Args:
        spec: For example ``0:0 1:3``, ``0:0-11``, ``2:*`` or ``all``.
        n_layers: Number of layers of the model.
        n_heads: Number of query heads per layer.

    Returns:
        The distinct heads, sorted by layer and head.

    Raises:
        InputError: If an item is invalid, a range runs backwards or a head does not exist.
    """
    parsed: set[Head] = set()
    items = spec.replace(",", " ").split()
    if not items:
        raise InputError(f"head spec {spec!r} names no head; {_FORMS}")
    for item in items:
        if item == "all":
            parsed |= {Head(layer, head) for layer in range(n_layers) for head in range(n_heads)}
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
        parsed |= {Head(layer, head) for head in range(first, last + 1)}
    return tuple(sorted(parsed))


def format_heads(heads: Iterable[tuple[int, int]]) -> str:
    """Write heads in the format of ``parse_heads``."""
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
    """Draw distinct sets of the size of a given set from the heads outside it.

    Heads of the given set are left out: in a small model a random set would often contain some of
    them, and the control would show part of the effect that it is compared with.

    Args:
        heads: The set whose size is matched, in any order.
        layers: Layers to draw from.
        n_heads: Number of query heads per layer.
        n_draws: Number of sets.
        seed: Seed of the draws.
        same_layers: Whether to take as many heads from each layer as the set has there. If a layer
            has too few other heads, the rest comes from any layer.

    Returns:
        The sets, each sorted; fewer than ``n_draws``, or none, if no more exist.
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
    sets: dict[tuple[Head, ...], None] = {}
    # A draw may repeat an earlier set. If few sets exist, the draws end with fewer of them.
    for _ in range(20 * n_draws):
        if len(sets) == n_draws:
            break
        sets[_draw(chosen, rest, rng, same_layers=same_layers)] = None
    return list(sets)


def _draw(
    chosen: set[Head], rest: list[Head], rng: np.random.Generator, *, same_layers: bool
) -> tuple[Head, ...]:
    shuffled = [rest[index] for index in rng.permutation(len(rest))]
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
