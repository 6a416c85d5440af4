"""Attribution patching: what a gradient says ablating each head would do, for all heads at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from emotion_circuits.interventions.sites import output_projection
from emotion_circuits.language_models import LanguageModel

Stream = Float[Tensor, "row d_model"]
Logits = Float[Tensor, "row vocab"]
Target = Callable[[Stream, Logits], Float[Tensor, " row"]]


class HeadGradients(NamedTuple):
    """What heads give on prompts of one length, and how a target changes with it.

    Attributes:
        z: Heads' outputs, on the CPU in float32.
        gradients: Of each target, by its name.
        values: Each target's value.
    """

    z: Float[Tensor, "row layer pos head d_head"]
    gradients: dict[str, Float[Tensor, "row layer pos head d_head"]]
    values: dict[str, Float[Tensor, " row"]]


def head_gradients(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    targets: dict[str, Target],
    *,
    layer: int,
) -> HeadGradients:
    """Differentiate targets with respect to the output of every head at every position.

    Args:
        model: The model; its weights take no gradient.
        ids: Prompts of one length, on the model's device.
        targets: From the last position's stream after ``layer`` and its logits to one number a
            row, which depends on no other row.
        layer: Where the stream is read; the gradient of heads above it is zero for a target that
            does not read logits.

    Returns:
        Outputs, gradients, values.

    Source: attribution patching, Nanda 2023; Syed et al. 2023, arXiv:2310.10348.
    """
    outputs: list[Tensor] = []
    nudges: list[Tensor] = []
    streams: list[Tensor] = []
    handles: list[Any] = [
        output_projection(model, place).register_forward_pre_hook(partial(_nudge, outputs, nudges))
        for place in range(model.n_layers)
    ]
    handles.append(model.plain_blocks[layer].register_forward_hook(partial(_keep, streams)))
    try:
        with torch.enable_grad():
            logits = model.plain_model(input_ids=ids, use_cache=False, logits_to_keep=1).logits
            values = {
                name: target(streams[0][:, -1].float(), logits[:, -1].float())
                for name, target in targets.items()
            }
    finally:
        for handle in handles:
            handle.remove()
    gradients = {}
    for name, value in values.items():
        found = torch.autograd.grad(
            value.sum(), nudges, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        gradients[name] = _by_head(model, found)
    return HeadGradients(
        _by_head(model, outputs),
        gradients,
        {name: value.detach().cpu() for name, value in values.items()},
    )


def ablation_estimates(
    z: Float[Tensor, "row layer pos head d_head"],
    gradients: Float[Tensor, "row layer pos head d_head"],
    values: Float[Tensor, "layer head d_head"],
) -> Float[Tensor, "row layer head"]:
    """Estimate to first order how ablating each head at every position changes the target.

    (v − z)·∂T/∂z, summed over positions: exact where the target is linear in the head's output.

    Args:
        z: Heads' outputs.
        gradients: Of the target.
        values: What ablation puts in their place: zeros or means.
    """
    estimates: Tensor = torch.einsum("rlphk,rlphk->rlh", values[None, :, None] - z, gradients)
    return estimates


def projection_target(directions: Float[Tensor, "row d_model"]) -> Target:
    """Give the component of the last position's stream along each row's direction."""
    units = directions / directions.norm(dim=-1, keepdim=True)

    def project(stream: Tensor, logits: Tensor) -> Tensor:
        del logits
        component: Tensor = (stream * units.to(stream.device)).sum(-1)
        return component

    return project


def log_odds(
    logits: Float[Tensor, "row vocab"], tokens: Int[Tensor, " token"]
) -> Float[Tensor, " row"]:
    """Give the log odds that the next token is one of some tokens, in nats."""
    chosen = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    chosen[tokens] = True
    return logits[:, chosen].logsumexp(-1) - logits[:, ~chosen].logsumexp(-1)


def log_odds_target(token_sets: Sequence[Tensor]) -> Target:
    """Give the log odds of each row's own set of tokens."""

    def contrast(stream: Tensor, logits: Tensor) -> Tensor:
        del stream
        pairs = zip(logits, token_sets, strict=True)
        return torch.cat([log_odds(row[None], tokens) for row, tokens in pairs])

    return contrast


def _nudge(
    outputs: list[Tensor],
    nudges: list[Tensor],
    module: nn.Module,  # noqa: ARG001 - the signature is given
    args: tuple[Any, ...],
) -> tuple[Any, ...]:
    """Add a zero whose gradient is that of what it is added to."""
    nudge = torch.zeros_like(args[0], requires_grad=True)
    outputs.append(args[0].detach())
    nudges.append(nudge)
    return (args[0] + nudge, *args[1:])


def _keep(
    streams: list[Tensor],
    module: nn.Module,  # noqa: ARG001
    args: tuple[Any, ...],  # noqa: ARG001
    output: Any,
) -> None:
    streams.append(output[0] if isinstance(output, tuple) else output)


def _by_head(
    model: LanguageModel, tensors: Sequence[Tensor]
) -> Float[Tensor, "row layer pos head d_head"]:
    stacked = torch.stack([tensor.float().cpu() for tensor in tensors], dim=1)
    heads: Tensor = stacked.unflatten(-1, (model.n_heads, -1))
    return heads
