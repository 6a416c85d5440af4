"""Choice of the next token: the most likely one, or one sampled with the row's seed."""

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

    A row's random numbers depend only on this seed and the row's seed, and not on the batch. Rows
    with equal seeds share the numbers under every condition, so that a condition without an
    effect yields the baseline's text.

    Attributes:
        temperature: Divisor of the logits, above 0.
        seed: Seed of all draws, combined with each row's seed.
    """

    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}; it must be above 0")


def uniform_draws(
    sampling: Sampling, row_seeds: Sequence[int], n_steps: int
) -> Float[np.ndarray, "row step"]:
    """Draw each row's numbers in [0, 1), one for each step."""
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
        sampling: How tokens are drawn; ``None`` for greedy decoding.
        draws: One number per row, for sampling.

    Returns:
        Token ids. A drawn token is the first whose cumulative probability is above the number.
    """
    if sampling is None or draws is None:
        return logits.argmax(-1)
    wide = torch.double if logits.device.type != "mps" else torch.float
    cumulative = (logits.to(wide) / sampling.temperature).softmax(-1).cumsum(-1)
    wanted = torch.as_tensor(draws, device=logits.device).to(wide)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, wanted, right=True)[:, 0].clamp(max=logits.shape[1] - 1)
