"""Position rules: the positions that an intervention covers at each step of generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from emotion_circuits.errors import InputError


@runtime_checkable
class Positions(Protocol):
    """The positions that an intervention covers.

    A moving rule covers different positions at each step; a position that it no longer covers is
    recomputed without the intervention. Under all other rules a position is patched when it is
    first read, and stays patched.
    """

    @property
    def moving(self) -> bool:
        """Whether the rule covers different positions at each step."""

    def first(self, n_prompt: int, step: int) -> int:
        """Return the first position covered at a step.

        Args:
            n_prompt: Number of tokens of the prompt, BOS included.
            step: Counted from 0.
        """

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """Return the positions below ``n_total`` that stay patched; a moving rule has none."""


@dataclass(frozen=True)
class Window:
    """The last ``size`` positions that the model reads, moving on with each step.

    At step t after a prompt of P tokens, the model reads positions 0 … P + t − 1. The window covers
    positions max(0, P + t − size) … P + t − 1, with the α of step t.

    Attributes:
        size: Number of positions, at least 1.
        new_tokens_only: Whether to leave out the prompt. At step 0, which has no new token, the
            last position of the prompt is covered.
    """

    size: int
    new_tokens_only: bool = False
    moving = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"window is {self.size}; allowed are whole numbers from 1, or null")

    def first(self, n_prompt: int, step: int) -> int:
        """Return the first position covered at a step."""
        start = max(0, n_prompt + step - self.size)
        if self.new_tokens_only:
            return n_prompt - 1 if step == 0 else max(start, n_prompt)
        return start

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """Return no position, since none stays patched."""
        del n_prompt, n_total
        return np.empty(0, dtype=int)


@dataclass(frozen=True)
class Onward:
    """The last position of the prompt and all later ones, patched when first read (steering)."""

    moving = False

    def first(self, n_prompt: int, step: int) -> int:
        """Return the last position of the prompt."""
        del step
        return n_prompt - 1

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """Return the prompt's last position and all later ones."""
        return np.arange(n_prompt - 1, n_total)


@dataclass(frozen=True)
class Everywhere:
    """All positions of the prompt and all later ones."""

    moving = False

    def first(self, n_prompt: int, step: int) -> int:
        """Return 0."""
        del n_prompt, step
        return 0

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """Return all positions."""
        del n_prompt
        return np.arange(n_total)


@dataclass(frozen=True)
class Prompt:
    """Positions of the prompt; positions that are generated are not patched.

    Attributes:
        last: Number of positions, counted from the prompt's end; ``None`` for the whole prompt.
    """

    last: int | None = None
    moving = False

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise InputError(f"last is {self.last}; allowed are whole numbers from 1, or None")

    def first(self, n_prompt: int, step: int) -> int:
        """Return the first covered position."""
        del step
        return 0 if self.last is None else max(0, n_prompt - self.last)

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """Return the covered positions of the prompt."""
        del n_total
        return np.arange(self.first(n_prompt, 0), n_prompt)


def positions_for_window(window: int | None, *, new_tokens_only: bool = False) -> Positions:
    """Return the rule for a patch window.

    Args:
        window: Number of positions; ``None`` for cumulative steering, which patches each position
            when it is first read and keeps it patched.
        new_tokens_only: Whether a window leaves out the prompt. It has no effect with
            ``window=None``, since step 0 needs the prompt's last position.
    """
    return Onward() if window is None else Window(window, new_tokens_only)
