"""Greedy continuations of prompts, with or without a change inside the model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from emotion_circuits.training.gates.plain_hooks import (
    added_at_the_end,
    encode_prompts,
    rows_by_length,
    zeroed_heads,
)
from emotion_circuits.training.trained import Trained

MAX_NEW_TOKENS: Final = 40
_ROWS: Final = 512


class Continuations(NamedTuple):
    """What a model said.

    Attributes:
        texts: Without special tokens.
        nll: Mean negative log-likelihood per new token, the end of the text included, of what was
            said under the unchanged model on the same prompt, in nats.
    """

    texts: list[str]
    nll: Float[np.ndarray, " prompt"]


@torch.no_grad()
def continue_greedily(
    trained: Trained,
    prompts: Sequence[str],
    *,
    vectors: Float[Tensor, "prompt layer d_model"] | None = None,
    silent_heads: Bool[Tensor, "prompt layer head"] | None = None,
) -> Continuations:
    """Continue each prompt by its most likely tokens, up to the end of the text.

    Prompts of one length run together, so that nothing is padded.

    Args:
        trained: The language model.
        prompts: Each ends with the line break before the reaction.
        vectors: Added after each block from the last prompt position on; None for nothing.
        silent_heads: Heads to zero at all prompt positions; None for none.

    Returns:
        One continuation per prompt.
    """
    encoded = encode_prompts(trained, prompts)
    texts, nll = [""] * len(encoded), np.zeros(len(encoded))
    for length, group in rows_by_length(encoded).items():
        for start in range(0, len(group), _ROWS):
            rows = group[start : start + _ROWS]
            ids = torch.tensor([encoded[row] for row in rows])
            reading: Any = nullcontext()
            if silent_heads is not None:
                reading = zeroed_heads(trained.model, silent_heads[rows].transpose(0, 1))
            steering: Any = nullcontext()
            if vectors is not None:
                steering = added_at_the_end(trained.model, vectors[rows].transpose(0, 1))
            with steering:
                new = _generate(trained, ids, reading)
            nll[rows] = _mean_nll(trained, torch.cat([ids, new], dim=1), length)
            for row, text in zip(
                rows, trained.tokenizer.batch_decode(new, skip_special_tokens=True), strict=True
            ):
                texts[row] = text
    return Continuations(texts, nll)


def _generate(trained: Trained, ids: Int[Tensor, "row pos"], reading: Any) -> Tensor:
    """Give the new tokens of each row, with padding after the end."""
    end, pad = trained.tokenizer.eos_token_id, trained.tokenizer.pad_token_id
    cache = DynamicCache()
    with reading:
        logits = trained.model(input_ids=ids, past_key_values=cache, use_cache=True).logits
    ended = torch.zeros(len(ids), dtype=torch.bool)
    new: list[Tensor] = []
    for _ in range(MAX_NEW_TOKENS):
        token = logits[:, -1].argmax(-1).masked_fill(ended, pad)
        new.append(token)
        ended |= token == end
        if bool(ended.all()):
            break
        logits = trained.model(
            input_ids=token[:, None], past_key_values=cache, use_cache=True
        ).logits
    return torch.stack(new, dim=1)


def _mean_nll(trained: Trained, ids: Int[Tensor, "row pos"], length: int) -> np.ndarray:
    logits = trained.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    logits = logits[:, length - 1 : -1].log_softmax(-1)
    said = ids[:, length:]
    losses = -logits.gather(-1, said[..., None])[..., 0]
    real = (said != trained.tokenizer.pad_token_id).float()
    mean: np.ndarray = ((losses * real).sum(1) / real.sum(1)).double().numpy()
    return mean
