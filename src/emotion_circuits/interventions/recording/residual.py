"""Capture of the residual stream of many prompts in padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from textwrap import shorten
from typing import Final, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.recording.record import record
from emotion_circuits.interventions.sites import Site, check_site
from emotion_circuits.language_models import EncodedPrompts, LanguageModel
from emotion_circuits.progress import progress_bar

HOOK_POINTS: Final = ("resid_pre", "resid_post")
Pooling = Literal["tokens", "mean"]


@torch.no_grad()
def capture_residual(
    model: LanguageModel,
    prompts: EncodedPrompts,
    *,
    layers: Sequence[int],
    hook_points: Sequence[str] = HOOK_POINTS,
    pooling: Pooling = "tokens",
    batch_size: int = 32,
    dtype: torch.dtype = torch.float32,
    progress: bool = True,
) -> dict[str, Float[Tensor, "prompt layer pos d_model"]]:
    """Run prompts through a model and keep its residual stream.

    Prompts run in batches of similar length, padded on the right and masked. A causal model does
    not read padding after a token, so results do not depend on batch size or order.

    Args:
        model: The model to run.
        prompts: The prompts' tokens and masks.
        layers: Layers to store, in this order.
        hook_points: ``resid_pre`` (before a layer), ``resid_post`` (after it), or both.
        pooling: ``tokens`` keeps every position, with zeros for padding. ``mean`` keeps vectors
            per prompt and layer, and holds the positions of one batch at a time in memory.
        batch_size: Prompts per forward pass.
        dtype: Type of the stored tensors, on the CPU.
        progress: Whether to show a progress bar.

    Returns:
        For ``tokens``, one tensor per hook point, by its name. For ``mean``, three tensors per
        hook point with a ``pos`` axis of length 1: under its name, the mean over the text's
        tokens; under the name with ``_last``, the last token; under the name with ``_cue``, the
        mean over the cue's tokens, NaN without a cue.

    Raises:
        InputError: If a layer or hook point does not exist, or an activation is NaN or infinite.
    """
    _check(model, layers, hook_points)
    n_prompts, longest = prompts.token_ids.shape
    n_positions = longest if pooling == "tokens" else 1
    suffixes = ("",) if pooling == "tokens" else ("", "_last", "_cue")
    shape = (n_prompts, len(layers), n_positions, model.d_model)
    stored = {
        f"{point}{suffix}": torch.zeros(shape, dtype=dtype)
        for point, suffix in product(hook_points, suffixes)
    }
    # The longest batch needs the most memory, so it runs first: a lack of memory shows at once.
    order = torch.argsort(prompts.lengths, descending=True, stable=True)
    batches = order.split(batch_size)
    for batch in progress_bar(batches, desc=f"{model.name} activations", disable=not progress):
        length = int(prompts.lengths[batch].max())
        mask = prompts.attention_mask[batch, :length]
        streams = record(
            model,
            prompts.token_ids[batch, :length].to(model.device),
            [Site(point, layer) for point in hook_points for layer in layers],
            mask=mask.to(model.device),
            logits=False,
        ).activations
        for point, (index, layer) in product(hook_points, enumerate(layers)):
            stream = streams[Site(point, layer)]
            _check_finite(model, stream, prompts, batch, f"{point} of layer {layer}")
            if pooling == "tokens":
                stored[point][batch, index, :length] = stream.to("cpu", dtype) * mask[..., None]
            else:
                for suffix, values in _pool(stream, prompts, batch, length).items():
                    stored[f"{point}{suffix}"][batch, index, 0] = values.to("cpu", dtype)
    return stored


def _check(model: LanguageModel, layers: Sequence[int], hook_points: Sequence[str]) -> None:
    for point in hook_points:
        if point not in HOOK_POINTS:
            raise InputError(f"hook point {point!r} is unknown; known: {', '.join(HOOK_POINTS)}")
    for layer in layers:
        check_site(model, Site("resid_pre", layer))


def _check_finite(
    model: LanguageModel,
    stream: Float[Tensor, "batch pos d_model"],
    prompts: EncodedPrompts,
    batch: Int[Tensor, " batch"],
    where: str,
) -> None:
    """Refuse activations that are NaN or infinite, before they reach a mean.

    Raises:
        InputError: At the first prompt, in the batch's order.
    """
    if bool(stream.isfinite().all()):
        return
    bad = int((~stream.isfinite()).flatten(1).any(1).nonzero()[0])
    ids = prompts.token_ids[batch[bad]][prompts.attention_mask[batch[bad]].bool()]
    shown = shorten(model.tokenizer.decode(ids.tolist()), 80)
    raise InputError(
        f"model {model.name!r} has NaN or infinite activations at {where} in prompt "
        f"{int(batch[bad])}, {shown!r}; dtype bfloat16 or float32 may help"
    )


def _pool(
    stream: Float[Tensor, "batch pos d_model"],
    prompts: EncodedPrompts,
    batch: Int[Tensor, " batch"],
    length: int,
) -> dict[str, Float[Tensor, "batch d_model"]]:
    """Return the mean over the content, the last token, and the mean over the cue."""
    content = prompts.content_mask[batch, :length].to(stream.device)
    cue = prompts.cue_mask[batch, :length].to(stream.device)
    last = (prompts.lengths[batch] - 1).to(stream.device)
    wide = stream.float()  # a sum over many positions loses digits in half precision
    return {
        "": _masked_mean(wide, content),
        "_last": wide[torch.arange(len(batch), device=stream.device), last],
        "_cue": _masked_mean(wide, cue),
    }


def _masked_mean(
    stream: Float[Tensor, "batch pos d_model"], mask: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch d_model"]:
    """Return the mean over the positions of a mask; NaN for an empty mask."""
    weights = mask.to(stream.dtype)
    sums = torch.einsum("bpd,bp->bd", stream, weights)
    return sums / weights.sum(1)[:, None]
