"""Checks of dictionary keys and set members, whose hashing and comparing costs what they hold.

Hashing a tuple recurses into it in C without a limit, so tuples nested a million times would crash
the process, and tuples that hold each other many times would hash for years. Hashes of numbers and
tuples can be chosen to collide, which makes a large dictionary of them slow; those of texts cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from emotion_circuits.errors import InputError

# Types of keys that are hashed in constant time, beside texts and bytes.
_NUMBERS: Final = (int, float, complex, bool, type(None), np.generic)
_DEEPEST_TUPLE: Final = 4
_MOST_LEAVES: Final = 64
_LONGEST_TEXT: Final = 2**16
# Number of keys that are not texts from which one container is refused.
_MOST_NUMBERS: Final = 2**13


def checked_keys(keys: Sequence[Any], n_present: int = 0) -> Sequence[Any]:
    """Return dictionary keys or set members after checking that all are plain.

    Args:
        keys: The keys.
        n_present: Number of keys that their container has already.

    Raises:
        InputError: If a key is not text, bytes, a number, None or a shallow tuple of those, if it
            is too long, or if a container with many keys has others than texts.
    """
    kinds = set(map(type, keys))
    if kinds <= {str, bytes}:
        if kinds and max(map(len, keys)) > _LONGEST_TEXT:
            raise InputError(f"pickle has a key of more than {_LONGEST_TEXT:,} characters")
        return keys
    if n_present + len(keys) > _MOST_NUMBERS:
        raise InputError(
            f"pickle has a container of more than {_MOST_NUMBERS:,} keys that are not all texts"
        )
    for key in keys:
        _count_leaves(key, depth=_DEEPEST_TUPLE, left=_MOST_LEAVES)
    return keys


def _count_leaves(key: Any, *, depth: int, left: int) -> int:
    """Return how many values a key may still hold after this part of it."""
    kind = type(key)
    if kind is tuple and depth:
        left -= 1
        for item in key:
            left = _count_leaves(item, depth=depth - 1, left=left)
    elif isinstance(key, str | bytes):
        left -= 1
        if len(key) > _LONGEST_TEXT:
            raise InputError(f"pickle has a key of more than {_LONGEST_TEXT:,} characters")
    elif kind in _NUMBERS or isinstance(key, np.generic):
        left -= 1
    else:
        raise InputError(f"pickle has a {kind.__name__} as a key; allowed are texts and numbers")
    if left < 0:
        raise InputError(f"pickle has a tuple of more than {_MOST_LEAVES} values as a key")
    return left
