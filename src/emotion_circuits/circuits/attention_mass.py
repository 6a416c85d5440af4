"""How much of its attention a head gives to the words that settle an emotion."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class CueAttention(NamedTuple):
    """Attention to the cue's tokens, for each head.

    Attributes:
        from_last: From the prompt's last position, where the next token is settled.
        from_after: Mean over the positions after the cue's last token, the last one among them;
            NaN where the cue ends the prompt. Positions before the cue cannot see it.
        uniform: What a head that attends to all positions alike gives from the last one.
    """

    from_last: Float[Tensor, "row layer head"]
    from_after: Float[Tensor, "row layer head"]
    uniform: Float[Tensor, " row"]


def cue_attention(
    pattern: Float[Tensor, "row layer head query key"], cue: Bool[Tensor, "row key"]
) -> CueAttention:
    """Sum attention over the cue's tokens.

    Args:
        pattern: Attention weights of prompts of one length, which need no padding.
        cue: The cue's tokens; a row without any gives NaN.
    """
    n_positions = pattern.shape[-1]
    mass = torch.einsum("rlhqk,rk->rlhq", pattern, cue.to(pattern.dtype))
    place = torch.arange(n_positions)
    last_cue = torch.where(cue, place, -1).amax(1)
    after = (place[None] > last_cue[:, None]).to(pattern.dtype)
    from_after = torch.einsum("rlhq,rq->rlh", mass, after) / after.sum(1)[:, None, None]
    without = torch.where(cue.any(1), 0.0, float("nan"))
    return CueAttention(
        mass[..., -1] + without[:, None, None],
        from_after + without[:, None, None],
        cue.sum(1) / n_positions + without,
    )
