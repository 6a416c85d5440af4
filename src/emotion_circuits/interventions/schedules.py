"""When and how strongly an intervention acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from emotion_circuits.errors import InputError


@runtime_checkable
class Strength(Protocol):
    """Gives α for each step of generation."""

    def values(self, n_steps: int) -> Float[np.ndarray, " step"]:
        """Give α of the steps 0 … ``n_steps`` − 1."""


@dataclass(frozen=True)
class Constant:
    """The same α at each step."""

    alpha: float = 1.0

    def values(self, n_steps: int) -> Float[np.ndarray, " step"]:
        """Give α, α, α and so on."""
        return np.full(n_steps, float(self.alpha))


@dataclass(frozen=True)
class Decay:
    """Exponential decay: α·rᵗ at step t.

    Attributes:
        alpha: At step 0.
        rate: From one step to the next, in (0, 1].
    """

    alpha: float
    rate: float

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise InputError(f"decay rate is {self.rate}; allowed is above 0 and at most 1")

    def values(self, n_steps: int) -> Float[np.ndarray, " step"]:
        """Give α, αr, αr² and so on."""
        return float(self.alpha) * float(self.rate) ** np.arange(n_steps, dtype=float)


@dataclass(frozen=True)
class Listed:
    """α step by step; 0 after the end of the list."""

    alphas: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas", tuple(float(alpha) for alpha in self.alphas))
        if not self.alphas:
            raise InputError("the list of strengths is empty; give at least one")

    def values(self, n_steps: int) -> Float[np.ndarray, " step"]:
        """Give the listed values, then zeros."""
        given = np.zeros(n_steps)
        listed = np.asarray(self.alphas[:n_steps], dtype=float)
        given[: len(listed)] = listed
        return given


@runtime_checkable
class Positions(Protocol):
    """Which positions an intervention covers.

    A moving rule covers different positions at each step; what it no longer covers is computed
    anew without it. Any other rule patches a position when it is first read, for good.
    """

    @property
    def moving(self) -> bool:
        """Whether positions are released again."""

    def first(self, n_prompt: int, step: int) -> int:
        """Give the first position covered at a step.

        Args:
            n_prompt: Tokens of the prompt, BOS included.
            step: From 0.
        """

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """Give all positions below ``n_total`` that are covered; for moving rules, none."""


@dataclass(frozen=True)
class Window:
    """The last ``size`` positions read, moving on with each step.

    At step t the model reads positions 0 … P + t − 1. Covered are max(0, P + t − size) …
    P + t − 1, with the α of step t.

    Attributes:
        size: At least 1.
        new_tokens_only: Drop positions of the prompt; where nothing is left, at step 0, the last
            position of the prompt is covered.
    """

    size: int
    new_tokens_only: bool = False
    moving = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"window is {self.size}; allowed are whole numbers from 1, or null")

    def first(self, n_prompt: int, step: int) -> int:
        """Give the first position covered at a step."""
        start = max(0, n_prompt + step - self.size)
        if self.new_tokens_only:
            return n_prompt - 1 if step == 0 else max(start, n_prompt)
        return start

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """None for good."""
        del n_prompt, n_total
        return np.empty(0, dtype=int)


@dataclass(frozen=True)
class Onward:
    """Each position from the last one of the prompt on, when it is first read (steering)."""

    moving = False

    def first(self, n_prompt: int, step: int) -> int:
        """Give the last position of the prompt."""
        del step
        return n_prompt - 1

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """From the prompt's last position on."""
        return np.arange(n_prompt - 1, n_total)


@dataclass(frozen=True)
class Everywhere:
    """Every position, of the prompt and after it."""

    moving = False

    def first(self, n_prompt: int, step: int) -> int:
        """Give 0."""
        del n_prompt, step
        return 0

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """All."""
        del n_prompt
        return np.arange(n_total)


@dataclass(frozen=True)
class Prompt:
    """Positions of the prompt; decoding goes on from there without the intervention.

    Attributes:
        last: How many, counted from the prompt's end; None for the whole prompt.
    """

    last: int | None = None
    moving = False

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise InputError(f"last is {self.last}; allowed are whole numbers from 1, or None")

    def first(self, n_prompt: int, step: int) -> int:
        """Give the first covered position."""
        del step
        return 0 if self.last is None else max(0, n_prompt - self.last)

    def covered(self, n_prompt: int, n_total: int) -> Int[np.ndarray, " position"]:
        """The prompt's end."""
        del n_total
        return np.arange(self.first(n_prompt, 0), n_prompt)


def positions_for_window(window: int | None, *, new_tokens_only: bool = False) -> Positions:
    """Give the rule for a patch window; None is cumulative steering.

    With ``window=None`` each position is patched for good when first read, so that
    ``new_tokens_only`` has nothing to drop but the last prompt position, which step 0 needs.
    """
    return Onward() if window is None else Window(window, new_tokens_only)
