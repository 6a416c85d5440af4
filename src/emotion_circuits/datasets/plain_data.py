"""Check of a finished object: plain data only, of a depth and size that its readers can handle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import torch

from emotion_circuits.errors import InputError

_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
_LEAVES: Final = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, bytearray),
        *(np.ndarray, torch.Tensor, torch.Size, torch.dtype),
    }
)
# Readers of results recurse; Python itself allows 1,000 levels.
_DEEPEST: Final = 100
# Results name an equal object twice instead of writing it twice, so they hold more values than
# their file has bytes, but not exponentially more.
_VALUES_PER_BYTE: Final = 100
_ALWAYS_ALLOWED: Final = 1_000_000


def check_plain(root: Any, n_bytes: int) -> None:
    """Check an object and everything in it.

    Each container is visited once, however often it is named, so the check takes time in proportion
    to the file.

    Args:
        root: The object.
        n_bytes: Size of the file that it was read from.

    Raises:
        InputError: If anything in it is not plain data, if a container holds itself, if containers
            are nested deeper than 100 levels, or if the object, written out in full, would have
            more than 100 values per byte of the file.
    """
    limit = _ALWAYS_ALLOWED + _VALUES_PER_BYTE * n_bytes
    sizes: dict[int, int] = {}  # number of values in a container, by its identity
    open_ones: set[int] = set()
    waiting: list[tuple[Any, list[Any] | None]] = [(root, None)] if _inner([root]) else []
    while waiting:
        container, children = waiting.pop()
        if children is not None:
            size = 1 + len(container) + sum(sizes[id(child)] for child in children)
            if size > limit:
                raise InputError(
                    f"parts are named so often that there are more than {limit:,} values"
                )
            open_ones.remove(id(container))
            sizes[id(container)] = size
        elif id(container) in open_ones:
            raise InputError(f"a {type(container).__name__} holds itself")
        elif id(container) not in sizes:
            if len(open_ones) == _DEEPEST:
                raise InputError(f"containers are nested deeper than {_DEEPEST} levels")
            children = _inner(container.values() if type(container) is dict else container)
            open_ones.add(id(container))
            waiting.append((container, children))
            waiting.extend((child, None) for child in children)


def _inner(values: Iterable[Any]) -> list[Any]:
    """Return the containers among some values, after checking the types of all."""
    kinds = set(map(type, values))
    for kind in kinds - _CONTAINERS - _LEAVES:
        if not issubclass(kind, np.generic | np.dtype):
            raise InputError("an array or a function is named and given no data")
    if kinds.isdisjoint(_CONTAINERS):
        return []
    return [value for value in values if type(value) in _CONTAINERS]
