"""Attribution patching: effects of ablating heads, estimated from gradients in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.interventions import Recording, Site, on_cpu, record, stack_layers
from emotion_circuits.language_models import LanguageModel

Stream = Float[Tensor, "prompt d_model"]
Logits = Float[Tensor, "prompt vocab"]
Target = Callable[[Stream, Logits], Float[Tensor, " prompt"]]


class HeadGradients(NamedTuple):
    """Outputs of all heads on prompts of one length, and gradients of targets with respect to them.

    Attributes:
        z: Heads' outputs, on the CPU in float32.
        gradients: Gradient of each target, by the target's name.
        values: Value of each target, by the target's name.
    """

    z: Float[Tensor, "prompt layer pos head d_head"]
    gradients: dict[str, Float[Tensor, "prompt layer pos head d_head"]]
    values: dict[str, Float[Tensor, " prompt"]]


def head_gradients(
    model: LanguageModel,
    ids: Int[Tensor, "prompt pos"],
    targets: dict[str, Target],
    *,
    layer: int,
) -> HeadGradients:
    """Differentiate targets with respect to the output of every head at every position.

    Args:
        model: The model; its weights get no gradients.
        ids: Prompts of equal length, on the model's device.
        targets: By name, functions of the residual stream after ``layer`` and of the logits, both
            at the last position. Each returns one number per prompt, independent of other prompts.
        layer: Layer after which the stream is read. A target that does not read logits has zero
            gradient at heads of later layers.

    Returns:
        Heads' outputs, and the gradients and values of the targets.

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


def _at_last(target: Target, stream: Site, recorded: Recording) -> Float[Tensor, " prompt"]:
    return target(recorded.activations[stream][:, -1].float(), recorded.logits.float())


def ablation_estimates(
    z: Float[Tensor, "prompt layer pos head d_head"],
    gradients: Float[Tensor, "prompt layer pos head d_head"],
    values: Float[Tensor, "layer head d_head"],
) -> Float[Tensor, "prompt layer head"]:
    """Estimate to first order how ablating each head at every position changes the target.

    The estimate is (v − z)·∂T/∂z summed over positions. It is exact if the target T is linear in
    the head's output.

    Args:
        z: Heads' outputs.
        gradients: Gradients of the target with respect to the outputs.
        values: Replacements v of the ablation: zeros or means.
    """
    estimates: Tensor = torch.einsum("rlphk,rlphk->rlh", values[None, :, None] - z, gradients)
    return estimates


def projection_target(directions: Float[Tensor, "prompt d_model"]) -> Target:
    """Make a target: the stream's component along a direction for each prompt."""
    units = directions / directions.norm(dim=-1, keepdim=True)

    def project(stream: Tensor, logits: Tensor) -> Tensor:
        del logits
        component: Tensor = (stream * units.to(stream.device)).sum(-1)
        return component

    return project


def log_odds(
    logits: Float[Tensor, "prompt vocab"], tokens: Int[Tensor, " token"]
) -> Float[Tensor, " prompt"]:
    """Return the log odds that the next token is in a set of tokens, in nats."""
    chosen = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    chosen[tokens] = True
    return logits[:, chosen].logsumexp(-1) - logits[:, ~chosen].logsumexp(-1)


def log_odds_target(token_sets: Sequence[Tensor]) -> Target:
    """Make a target: the log odds of a set of tokens for each prompt."""

    def contrast(stream: Tensor, logits: Tensor) -> Tensor:
        del stream
        pairs = zip(logits, token_sets, strict=True)
        return torch.cat([log_odds(each[None], tokens) for each, tokens in pairs])

    return contrast
