"""Attention of heads to the cue, the words from which the emotion follows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class CueAttention(NamedTuple):
    """Attention to the cue's tokens, for each head.

    Attributes:
        from_last: Attention from the prompt's last position, where the next token is predicted.
        from_after: Mean attention from all positions after the cue's last token; NaN if the cue
            ends the prompt. Positions before the cue cannot attend to it.
        uniform: Attention from the last position under uniform attention to all positions.
    """

    from_last: Float[Tensor, "prompt layer head"]
    from_after: Float[Tensor, "prompt layer head"]
    uniform: Float[Tensor, " prompt"]


def cue_attention(
    pattern: Float[Tensor, "prompt layer head query key"], cue: Bool[Tensor, "prompt key"]
) -> CueAttention:
    """Sum attention over the cue's tokens.

    Args:
        pattern: Attention weights on prompts of equal length, without padding.
        cue: Whether each token belongs to the cue; a prompt without a cue yields NaN.
    """
    n_positions = pattern.shape[-1]
    mass = torch.einsum("rlhqk,rk->rlhq", pattern, cue.to(pattern.dtype))
    position = torch.arange(n_positions)
    last_cue = torch.where(cue, position, -1).amax(1)
    after = (position[None] > last_cue[:, None]).to(pattern.dtype)
    from_after = torch.einsum("rlhq,rq->rlh", mass, after) / after.sum(1)[:, None, None]
    without = torch.where(cue.any(1), 0.0, float("nan"))
    return CueAttention(
        mass[..., -1] + without[:, None, None],
        from_after + without[:, None, None],
        cue.sum(1) / n_positions + without,
    )
