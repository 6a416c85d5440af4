"""Attribution patching: effects of ablating each head, estimated from gradients in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.interventions import Recording, Site, on_cpu, record, stack_layers
from emotion_circuits.language_models import LanguageModel

Stream = Float[Tensor, "row d_model"]
Logits = Float[Tensor, "row vocab"]
Target = Callable[[Stream, Logits], Float[Tensor, " row"]]


class HeadGradients(NamedTuple):
    """Outputs of all heads on prompts of one length, and gradients of targets with respect to them.

    Attributes:
        z: Heads' outputs, on the CPU in float32.
        gradients: Gradient of each target, by the target's name.
        values: Value of each target, by its name.
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
        targets: Functions of the last position's stream after ``layer`` and of its logits that
            give one number a row, which depends on no other row.
        layer: Layer after which the stream is read. A target that does not read logits has zero
            gradient at heads above it.

    Returns:
        Heads' outputs, and the targets' gradients and values.

    Source: attribution patching, Nanda 2023; Syed et al. 2023, arXiv:2310.10348.
    """
    stream = Site("resid_post", layer)
    recorded = record(
        model,
        ids,
        [*(Site("z", index) for index in range(model.n_layers)), stream],
        keep=on_cpu,
        gradients={name: partial(_at_last, target, stream) for name, target in targets.items()},
    )
    return HeadGradients(
        stack_layers(recorded.activations, "z"),
        {name: stack_layers(by_site, "z") for name, by_site in recorded.gradients.items()},
        {name: value.cpu() for name, value in recorded.values.items()},
    )


def _at_last(target: Target, stream: Site, recorded: Recording) -> Float[Tensor, " row"]:
    """Apply a target to the last position."""
    return target(recorded.activations[stream][:, -1].float(), recorded.logits.float())


def ablation_estimates(
    z: Float[Tensor, "row layer pos head d_head"],
    gradients: Float[Tensor, "row layer pos head d_head"],
    values: Float[Tensor, "layer head d_head"],
) -> Float[Tensor, "row layer head"]:
    """Estimate to first order how ablating each head at every position changes the target.

    (v − z)·∂T/∂z, summed over positions: exact where the target is linear in the head's output.

    Args:
        z: Heads' outputs.
        gradients: Gradients of the target with respect to them.
        values: The values that ablation puts in their place: zeros or means.
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
