"""Tensors of a forward pass that an operator may need in addition to the values it changes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from jaxtyping import Int
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
        first: The position of each entry's first value. It is negative if a pass begins at the
            padding before a shorter prompt, where no strength is other than 0.
        shown: The tensors that the operator needs.
    """

    first: Int[Tensor, " entry"]
    shown: Mapping[Need, Tensor] = {}
