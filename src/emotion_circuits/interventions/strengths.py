"""Strengths of an intervention at each step of generation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from emotion_circuits.errors import InputError


def _check_finite(alpha: float) -> None:
    if not math.isfinite(alpha):
        raise InputError(f"a strength is {alpha}; allowed are finite numbers")


@runtime_checkable
class Strength(Protocol):
    """A strength α for each step of generation."""

    def values(self, n_steps: int) -> Float[np.ndarray, " step"]:
        """Return α for the steps 0 … ``n_steps`` − 1."""


@dataclass(frozen=True)
class Constant:
    """The same α at each step."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check_finite(self.alpha)

    def values(self, n_steps: int) -> Float[np.ndarray, " step"]:
        """Return ``n_steps`` times α."""
        return np.full(n_steps, float(self.alpha))


@dataclass(frozen=True)
class Decay:
    """Exponential decay: α·rᵗ at step t.

    Attributes:
        alpha: Strength at step 0.
        rate: Factor from one step to the next, in (0, 1].
    """

    alpha: float
    rate: float

    def __post_init__(self) -> None:
        _check_finite(self.alpha)
        if not 0 < self.rate <= 1:
            raise InputError(f"decay rate is {self.rate}; allowed is above 0 and at most 1")

    def values(self, n_steps: int) -> Float[np.ndarray, " step"]:
        """Return α, αr, αr² and so on."""
        return float(self.alpha) * float(self.rate) ** np.arange(n_steps, dtype=float)


@dataclass(frozen=True)
class Listed:
    """A list of α for each step; after its end α is 0."""

    alphas: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas", tuple(float(alpha) for alpha in self.alphas))
        if not self.alphas:
            raise InputError("the list of strengths is empty; give at least one")
        for alpha in self.alphas:
            _check_finite(alpha)

    def values(self, n_steps: int) -> Float[np.ndarray, " step"]:
        """Return the listed values, then zeros."""
        alphas = np.zeros(n_steps)
        listed = np.asarray(self.alphas[:n_steps], dtype=float)
        alphas[: len(listed)] = listed
        return alphas
