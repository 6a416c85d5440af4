"""Tensors of a forward pass that an operator may need in addition to the values it changes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from torch import Tensor


class Need(Enum):
    """Something that an operator needs of a forward pass in addition to the values it changes.

    An operator with needs acts on positions of the prompt only, since generated tokens are read
    one at a time by the plain model.
    """

    PATTERN = "pattern"
    """Attention weights of each entry's head, ``[entry, query, key]``; at point ``z`` only."""

    V = "v"
    """Values that each entry's head reads, ``[entry, key, d_head]``; at point ``z`` only."""

    WHOLE_PROMPT = "whole prompt"
    """All positions of the prompt in one pass, without a cache."""


READ_IN_ATTENTION: Final = frozenset({Need.PATTERN, Need.V})
NOTHING: Final[frozenset[Need]] = frozenset()


class Pass(NamedTuple):
    """The forward pass as an operator sees it.

    Attributes:
        first: The position of the first value.
        shown: The tensors that the operator needs.
    """

    first: int
    shown: Mapping[Need, Tensor] = {}
