"""Capturing the residual stream of many prompts, batched, without changing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from typing import Any, Final, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm.auto import tqdm

from emotion_circuits.errors import InputError
from emotion_circuits.language_models import EncodedPrompts, LanguageModel

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

    Prompts run in batches of similar length, padded on the right and masked: a causal model
    never reads padding after a token, so neither batch size nor order changes a result.

    Args:
        model: The model to run.
        prompts: Its tokens and masks.
        layers: Which layers, in the order to store them.
        hook_points: ``resid_pre`` (before a layer), ``resid_post`` (after it), or both.
        pooling: ``tokens`` keeps every position; padding is zero. ``mean`` keeps one vector per
            prompt and layer, over positions, and holds no more than one batch of positions in
            memory.
        batch_size: Prompts per forward pass.
        dtype: Type to store, on the CPU.
        progress: Whether to show a bar with batches per second and the time left.

    Returns:
        For ``tokens``, one tensor per hook point, by its name. For ``mean``, three tensors per
        hook point with a ``pos`` axis of length 1: by its name the mean over the text's tokens,
        by name and ``_last`` the last token, by name and ``_cue`` the mean over the cue's tokens,
        NaN where a prompt has none.

    Raises:
        InputError: If a layer or hook point does not exist.
    """
    _check(model, layers, hook_points)
    n_prompts, longest = prompts.token_ids.shape
    n_positions = longest if pooling == "tokens" else 1
    names = list(hook_points) if pooling == "tokens" else _pooled_names(hook_points)
    shape = (n_prompts, len(layers), n_positions, model.d_model)
    stored = {name: torch.zeros(shape, dtype=dtype) for name in names}
    batches = list(_batches(prompts, batch_size))
    for rows in tqdm(batches, desc=f"{model.name} activations", disable=not progress):
        length = int(prompts.lengths[rows].max())
        streams = _forward(model, prompts, rows, length, layers, hook_points)
        for point, (place, layer) in product(hook_points, enumerate(layers)):
            stream = streams[point, layer]
            if pooling == "tokens":
                real = prompts.attention_mask[rows, :length, None]
                stored[point][rows, place, :length] = stream.to("cpu", dtype) * real
            else:
                for suffix, values in _pool(stream, prompts, rows, length).items():
                    stored[f"{point}{suffix}"][rows, place, 0] = values.to("cpu", dtype)
    return stored


def _check(model: LanguageModel, layers: Sequence[int], hook_points: Sequence[str]) -> None:
    for layer in layers:
        if not 0 <= layer < model.n_layers:
            raise InputError(
                f"layer {layer} is out of range for model {model.name!r}; allowed are 0 to "
                f"{model.n_layers - 1}"
            )
    for point in hook_points:
        if point not in HOOK_POINTS:
            raise InputError(f"hook point {point!r} is unknown; known: {', '.join(HOOK_POINTS)}")


def _pooled_names(hook_points: Sequence[str]) -> list[str]:
    return [f"{point}{suffix}" for point in hook_points for suffix in ("", "_last", "_cue")]


def _batches(prompts: EncodedPrompts, batch_size: int) -> Iterator[Tensor]:
    """Give row numbers, prompts of similar length together, the longest first.

    The longest batch needs the most memory; if it does not fit, that shows at once.
    """
    order = torch.argsort(prompts.lengths, descending=True, stable=True)
    yield from order.split(batch_size)


def _forward(
    model: LanguageModel,
    prompts: EncodedPrompts,
    rows: Tensor,
    length: int,
    layers: Sequence[int],
    hook_points: Sequence[str],
) -> dict[tuple[str, int], Float[Tensor, "batch pos d_model"]]:
    """Run one batch; everything stays on the model's device.

    The stream before and after a block is what goes into it and comes out of it, so the plain
    model will do: TransformerLens' hook points inside the block would cost a sixth of the time.
    """
    seen: dict[tuple[str, int], Tensor] = {}
    with _recording(model, layers, hook_points, seen):
        model.plain_model(
            input_ids=prompts.token_ids[rows, :length].to(model.device),
            attention_mask=prompts.attention_mask[rows, :length].to(model.device),
            use_cache=False,
            logits_to_keep=1,  # nobody reads the logits, and they cost d_model x vocabulary each
        )
    return seen


@contextmanager
def _recording(
    model: LanguageModel,
    layers: Sequence[int],
    hook_points: Sequence[str],
    seen: dict[tuple[str, int], Tensor],
) -> Iterator[None]:
    """Keep what goes into and comes out of blocks, by hook point and layer."""
    blocks = model.plain_blocks
    with ExitStack() as hooks:
        for layer in layers:
            block = blocks[layer]
            if "resid_pre" in hook_points:
                before = partial(_record_input, seen, layer)
                hooks.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
            if "resid_post" in hook_points:
                after = partial(_record_output, seen, layer)
                hooks.callback(block.register_forward_hook(after).remove)
        yield


def _record_input(
    seen: dict[tuple[str, int], Tensor],
    layer: int,
    block: torch.nn.Module,  # noqa: ARG001 - the signature is given
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    seen["resid_pre", layer] = args[0] if args else kwargs["hidden_states"]


def _record_output(
    seen: dict[tuple[str, int], Tensor],
    layer: int,
    block: torch.nn.Module,  # noqa: ARG001 - the signature is given
    args: tuple[Any, ...],  # noqa: ARG001
    output: Any,
) -> None:
    seen["resid_post", layer] = output[0] if isinstance(output, tuple) else output


def _pool(
    stream: Float[Tensor, "batch pos d_model"],
    prompts: EncodedPrompts,
    rows: Tensor,
    length: int,
) -> dict[str, Float[Tensor, "batch d_model"]]:
    """Reduce positions to the mean over content, the last token, and the mean over the cue."""
    content = prompts.content_mask[rows, :length].to(stream.device)
    cue = prompts.cue_mask[rows, :length].to(stream.device)
    last = (prompts.lengths[rows] - 1).to(stream.device)
    wide = stream.float()  # a sum over many positions loses digits in half precision
    batch = torch.arange(len(rows), device=stream.device)
    return {
        "": _masked_mean(wide, content),
        "_last": wide[batch, last],
        "_cue": _masked_mean(wide, cue),
    }


def _masked_mean(
    stream: Float[Tensor, "batch pos d_model"], mask: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch d_model"]:
    """Mean over the positions of a mask; NaN where the mask is empty."""
    weights = mask.to(stream.dtype)
    sums = torch.einsum("bpd,bp->bd", stream, weights)
    return sums / weights.sum(1)[:, None]
