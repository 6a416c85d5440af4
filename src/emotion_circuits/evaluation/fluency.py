"""How likely a continuation is under the model that nobody touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional

from emotion_circuits.errors import InputError
from emotion_circuits.language_models import LanguageModel

# Token ids of a prompt and of what follows it.
_Pair = tuple[tuple[int, ...], tuple[int, ...]]


@torch.no_grad()
def continuation_nll(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
    *,
    batch_size: int = 64,
) -> Float[np.ndarray, " row"]:
    """Mean negative log-likelihood of each continuation under the unpatched model.

    The tokens are the ones that were generated: a decoded text may tokenise into others. Rows of
    exactly the same length share a forward pass, so nothing is padded; equal rows are scored
    once.

    Args:
        model: Its plain model is used, which has no hook points.
        prompts: Token ids of each row's prompt, BOS included where the model has one.
        continuations: Token ids that follow; they may be empty.
        batch_size: Rows per forward pass; it changes speed and memory, and results by no more
            than rounding.

    Returns:
        Nats per token, float64; NaN for an empty continuation.

    Raises:
        InputError: If a row is longer than the model reads, or a prompt is empty.
    """
    pairs = [
        (tuple(prompt), tuple(continuation))
        for prompt, continuation in zip(prompts, continuations, strict=True)
    ]
    by_length: dict[int, list[_Pair]] = {}
    for row, (prompt, continuation) in enumerate(pairs):
        length = len(prompt) + len(continuation)
        if not prompt or length > model.n_ctx:
            raise InputError(
                f"row {row} has {len(prompt)} prompt tokens and {length} in all; model "
                f"{model.name!r} needs at least 1 and reads at most {model.n_ctx}"
            )
        if continuation:
            by_length.setdefault(length, []).append((prompt, continuation))
    found: dict[_Pair, float] = {}
    for length in sorted(by_length, reverse=True):  # the longest first: memory shows at once
        distinct = sorted(set(by_length[length]))
        for start in range(0, len(distinct), batch_size):
            chunk = distinct[start : start + batch_size]
            found.update(zip(chunk, _mean_nll(model, chunk), strict=True))
    return np.array([found.get(pair, float("nan")) for pair in pairs], dtype=float)


def _mean_nll(model: LanguageModel, chunk: Sequence[_Pair]) -> list[float]:
    """Score rows of one length: each continuation ends where its row does."""
    ids = torch.tensor([[*prompt, *continuation] for prompt, continuation in chunk])
    ids = ids.to(model.device)
    sizes = torch.tensor([len(continuation) for _, continuation in chunk], device=ids.device)
    longest = int(sizes.max())
    # The logits at a position are about the token after it.
    logits = model.plain_model(input_ids=ids, use_cache=False, logits_to_keep=longest + 1).logits[
        :, :-1
    ]
    targets = ids[:, -longest:]
    losses = functional.cross_entropy(
        logits.float().transpose(1, 2), targets, reduction="none"
    ).double()
    place = torch.arange(longest, device=ids.device)
    of_continuation = place[None, :] >= longest - sizes[:, None]
    means = (losses * of_continuation).sum(1) / sizes
    return [float(value) for value in means.cpu()]
