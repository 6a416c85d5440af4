"""Capturing what heads give, read and attend to, prompts of one length together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.sites import output_projection
from emotion_circuits.language_models import LanguageModel

PARTS: Final = ("z", "v", "pattern")


@dataclass(frozen=True)
class HeadActivations:
    """What the heads of all layers did on prompts of one length, on the CPU in float32.

    Attributes:
        rows: Which prompts, as indices.
        z: Each head's output before the output projection; None if it was not asked for.
        v: The values each query head reads, so those of its key/value head; or None.
        pattern: Attention of each position to each other; or None.
    """

    rows: tuple[int, ...]
    z: Float[Tensor, "row layer pos head d_head"] | None = None
    v: Float[Tensor, "row layer pos head d_head"] | None = None
    pattern: Float[Tensor, "row layer head query key"] | None = None


@torch.no_grad()
def capture_heads(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    parts: Sequence[str] = ("z",),
    batch_size: int = 32,
) -> Iterator[HeadActivations]:
    """Run prompts without any change and give what their heads did, batch by batch.

    Prompts of exactly the same length share a batch, so nothing is padded.

    Args:
        model: The model; it has no more hooks between batches than before.
        prompts: Token ids, BOS included.
        parts: Of ``z``, ``v`` and ``pattern``. The first costs a plain pass, the others one
            through TransformerLens' hook points.
        batch_size: Prompts per forward pass.

    Yields:
        Batches; together they hold each prompt once.

    Raises:
        InputError: If a part is unknown.
    """
    for part in parts:
        if part not in PARTS:
            raise InputError(f"part {part!r} of a head is unknown; known: {', '.join(PARTS)}")
    by_length: dict[int, list[int]] = {}
    for index, ids in enumerate(prompts):
        by_length.setdefault(len(ids), []).append(index)
    for _, indices in sorted(by_length.items(), reverse=True):
        for start in range(0, len(indices), batch_size):
            rows = indices[start : start + batch_size]
            tokens = torch.tensor([list(prompts[row]) for row in rows], device=model.device)
            seen = _plain_pass(model, tokens) if "z" in parts else {}
            if "v" in parts or "pattern" in parts:
                seen |= _bridge_pass(model, tokens)
            yield HeadActivations(tuple(rows), **{part: seen[part] for part in parts})


def _plain_pass(model: LanguageModel, ids: Tensor) -> dict[str, Tensor]:
    """Record the input of each layer's output projection."""
    kept: list[Tensor] = []
    handles = [
        output_projection(model, layer).register_forward_pre_hook(partial(_keep_input, kept))
        for layer in range(model.n_layers)
    ]
    try:
        model.plain_model(input_ids=ids, use_cache=False, logits_to_keep=1)
    finally:
        for handle in handles:
            handle.remove()
    z = torch.stack([values.float().cpu() for values in kept], dim=1)
    return {"z": z.unflatten(-1, (model.n_heads, -1))}


def _keep_input(kept: list[Tensor], module: nn.Module, args: tuple[Any, ...]) -> None:  # noqa: ARG001
    kept.append(args[0])


def _bridge_pass(model: LanguageModel, ids: Tensor) -> dict[str, Tensor]:
    """Record patterns and values, which only TransformerLens' hook points show."""
    kept: dict[str, list[Tensor]] = {"pattern": [], "v": []}
    hooks = [
        (f"blocks.{layer}.attn.hook_{part}", partial(_keep_value, values))
        for layer in range(model.n_layers)
        for part, values in kept.items()
    ]
    with model.bridge.hooks(fwd_hooks=hooks):
        model.hf_model(input_ids=ids, use_cache=False, logits_to_keep=1)
    values = torch.stack(kept["v"], dim=1)
    shared_by = model.n_heads // values.shape[3]
    return {
        "pattern": torch.stack(kept["pattern"], dim=1),
        "v": values.repeat_interleave(shared_by, dim=3),
    }


def _keep_value(kept: list[Tensor], value: Tensor, hook: Any) -> None:  # noqa: ARG001
    kept.append(value.detach().float().cpu())
