"""Names of heads: single heads, sets written by hand, and sets drawn for comparison."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import factorial, prod
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


def is_head_item(item: str) -> bool:
    """Say whether ``parse_heads`` can read a text as one item, whatever the model's size."""
    return item == "all" or _ITEM.fullmatch(item) is not None


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


def permuted_heads(
    of_half: Mapping[str, Sequence[tuple[int, int]]],
    *,
    n_layers: int,
    n_heads: int,
    n_draws: int,
    seed: int,
    same_layers: bool = False,
) -> list[dict[str, tuple[Head, ...]]]:
    """Draw images of a choice of heads under permutations of all heads of the model.

    An image has as many heads for each half, and as many heads that both halves share. Any head
    may occur, the chosen ones too. If the choice does not depend on what heads do, it is as likely
    as each of its images, and a rank among them is an exact p-value: images are drawn without
    repetition from all that differ from the choice. Sets drawn anew for each half would not do:
    choices for the two halves share heads, and the mean over both halves then varies more.

    Args:
        of_half: The chosen heads for each half of the prompts.
        n_layers: Number of layers of the model.
        n_heads: Number of query heads per layer.
        n_draws: Number of images.
        seed: Seed of the draws.
        same_layers: Whether heads are permuted within their layers only, so that an image has as
            many heads of each layer as the choice.

    Returns:
        Distinct images, each sorted; all of them if there are at most ``n_draws``.

    Source: permutation test with random permutations, Phipson and Smyth 2010,
    doi:10.2202/1544-6115.1585.
    """
    chosen = {half: tuple(sorted({Head(*head) for head in own})) for half, own in of_half.items()}
    every = [Head(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    n_images = _count_images(chosen, every, same_layers=same_layers)
    name = [f"{half} {format_heads(own)}" for half, own in sorted(chosen.items())]
    rng = rng_for(seed, "permuted_heads", same_layers, *name)
    images: dict[tuple[tuple[Head, ...], ...], None] = {}
    while len(images) < min(n_draws, n_images - 1):
        image_of = _permutation(n_layers, n_heads, rng, same_layers=same_layers)
        image = tuple(tuple(sorted(image_of[head] for head in own)) for own in chosen.values())
        if image != tuple(chosen.values()):
            images[image] = None
    return [dict(zip(chosen, image, strict=True)) for image in images]


def _permutation(
    n_layers: int, n_heads: int, rng: np.random.Generator, *, same_layers: bool
) -> dict[Head, Head]:
    """Return a random permutation of all heads, or of the heads within each layer."""
    flat = np.arange(n_layers * n_heads).reshape(n_layers, n_heads)
    shuffled = rng.permuted(flat, axis=1) if same_layers else rng.permutation(flat.ravel())
    targets = shuffled.ravel().tolist()
    return {
        Head(*divmod(source, n_heads)): Head(*divmod(target, n_heads))
        for source, target in enumerate(targets)
    }


def _count_images(
    chosen: Mapping[str, Sequence[Head]], every: Sequence[Head], *, same_layers: bool
) -> int:
    """Count the distinct images of a choice, itself included.

    Heads that belong to the same halves are interchangeable, so the number is a multinomial
    coefficient; with ``same_layers``, the product of one for each layer.
    """
    members = {half: set(own) for half, own in chosen.items()}
    kinds: dict[int, Counter[tuple[bool, ...]]] = {}
    for head in every:
        kind = tuple(head in own for own in members.values())
        kinds.setdefault(head.layer if same_layers else 0, Counter())[kind] += 1
    return prod(
        factorial(counts.total()) // prod(map(factorial, counts.values()))
        for counts in kinds.values()
    )


def other_heads(
    heads: Sequence[tuple[int, int]],
    *,
    layers: Sequence[int],
    n_heads: int,
    n_draws: int,
    seed: int,
    same_layers: bool = False,
) -> list[tuple[Head, ...]]:
    """Draw distinct sets of the size of a given set from the heads outside it.

    They show what heads do that were not chosen. They give no p-value: a set of heads chosen at
    random is not one more of them, since none of them contains one of its heads.

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
