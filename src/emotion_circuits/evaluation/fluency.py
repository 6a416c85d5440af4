"""Negative log-likelihood of continuations under the unpatched model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional

from emotion_circuits.errors import InputError
from emotion_circuits.language_models import LanguageModel

# Token ids of a prompt and of its continuation.
_Pair = tuple[tuple[int, ...], tuple[int, ...]]


@torch.no_grad()
def continuation_nll(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
    *,
    batch_size: int = 64,
) -> Float[np.ndarray, " continuation"]:
    """Mean negative log-likelihood of each continuation under the unpatched model.

    Scores the generated token ids, since a decoded text may tokenize differently. Sequences
    (prompt plus continuation) of equal length share a forward pass without padding; equal
    sequences are scored once.

    Args:
        model: The language model; its plain model is used, which has no hook points.
        prompts: Token ids of each prompt, with BOS where the model has one.
        continuations: Token ids of each continuation, which may be empty.
        batch_size: Sequences per forward pass; affects speed and memory, and results only by
            rounding.

    Returns:
        Nats per token, float64; NaN for an empty continuation.

    Raises:
        InputError: If a sequence is longer than the model's context, or a prompt is empty.
    """
    pairs = [
        (tuple(prompt), tuple(continuation))
        for prompt, continuation in zip(prompts, continuations, strict=True)
    ]
    by_length: dict[int, list[_Pair]] = {}
    for index, (prompt, continuation) in enumerate(pairs):
        length = len(prompt) + len(continuation)
        if not prompt or length > model.n_ctx:
            raise InputError(
                f"row {index} has {len(prompt)} prompt tokens and {length} in all; model "
                f"{model.name!r} needs at least 1 and reads at most {model.n_ctx}"
            )
        if continuation:
            by_length.setdefault(length, []).append((prompt, continuation))
    nll: dict[_Pair, float] = {}
    for length in sorted(by_length, reverse=True):  # longest first: fails early if memory is short
        distinct = sorted(set(by_length[length]))
        for start in range(0, len(distinct), batch_size):
            chunk = distinct[start : start + batch_size]
            nll.update(zip(chunk, _mean_nll(model, chunk), strict=True))
    return np.array([nll.get(pair, float("nan")) for pair in pairs], dtype=float)


def _mean_nll(model: LanguageModel, chunk: Sequence[_Pair]) -> list[float]:
    """Return the mean NLL of each continuation; all sequences have the same length."""
    ids = torch.tensor([[*prompt, *continuation] for prompt, continuation in chunk])
    ids = ids.to(model.device)
    sizes = torch.tensor([len(continuation) for _, continuation in chunk], device=ids.device)
    longest = int(sizes.max())
    # The logits at a position predict the next token.
    logits = model.plain_model(input_ids=ids, use_cache=False, logits_to_keep=longest + 1).logits[
        :, :-1
    ]
    targets = ids[:, -longest:]
    losses = functional.cross_entropy(
        logits.float().transpose(1, 2), targets, reduction="none"
    ).double()
    positions = torch.arange(longest, device=ids.device)
    of_continuation = positions[None, :] >= longest - sizes[:, None]
    means = (losses * of_continuation).sum(1) / sizes
    return [float(value) for value in means.cpu()]
