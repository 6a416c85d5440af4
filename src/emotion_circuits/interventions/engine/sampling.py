"""Choosing the next token: the most likely one, or one drawn with the row's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError


@dataclass(frozen=True)
class Sampling:
    """Draw tokens from softmax(logits / temperature).

    The numbers that a row draws with depend on its own seed alone, so that neither batch nor
    neighbours change a text. Rows of one seed draw with the same numbers under every condition, so
    a condition that changes nothing gives the baseline's text.

    Attributes:
        temperature: Divides the logits; above 0.
        seed: Settles a row's draws, together with the row's own seed.
    """

    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}; it must be above 0")


def uniform_draws(
    sampling: Sampling, row_seeds: Sequence[int], n_steps: int
) -> Float[np.ndarray, "row step"]:
    """Give each row's numbers in [0, 1), one for each step."""
    return np.stack(
        [np.random.default_rng((sampling.seed, seed)).random(n_steps) for seed in row_seeds]
    )


def choose_tokens(
    logits: Float[Tensor, "row vocab"],
    sampling: Sampling | None,
    draws: Float[np.ndarray, " row"] | None,
) -> Int[Tensor, " row"]:
    """Choose the next token of each row.

    Args:
        logits: Logits at the last position.
        sampling: How tokens are drawn; ``None`` for the most likely token.
        draws: One number for each row, for sampling.

    Returns:
        Token ids. A drawn token is the first whose cumulative probability is above the number.
    """
    if sampling is None or draws is None:
        return logits.argmax(-1)
    wide = torch.double if logits.device.type != "mps" else torch.float
    cumulative = (logits.to(wide) / sampling.temperature).softmax(-1).cumsum(-1)
    wanted = torch.as_tensor(draws, device=logits.device).to(wide)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, wanted, right=True)[:, 0].clamp(max=logits.shape[1] - 1)
