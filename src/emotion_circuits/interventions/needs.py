"""What an operator may need of a forward pass beside the values that it changes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from torch import Tensor


class Need(Enum):
    """What an operator needs of a forward pass beside the values that it changes.

    An operator with any need acts at positions of the prompt only: tokens that are generated are
    read one at a time, by the plain model.
    """

    PATTERN = "pattern"
    """Attention weights of each entry's head, ``[entry, query, key]``; at point ``z`` only."""

    V = "v"
    """Values that each entry's head reads at the positions of the pass, ``[entry, key, d_head]``;
    at point ``z`` only."""

    WHOLE_PROMPT = "whole prompt"
    """All positions of the prompt in one pass, none of them taken from a cache."""


READ_IN_ATTENTION: Final = frozenset({Need.PATTERN, Need.V})
NOTHING: Final[frozenset[Need]] = frozenset()


class Pass(NamedTuple):
    """What an operator is shown of a forward pass.

    Attributes:
        first: The position of the first value.
        shown: Tensors that the operator needs.
    """

    first: int
    shown: Mapping[Need, Tensor] = {}
