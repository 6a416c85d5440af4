"""Direct writes: each head's contribution to the residual stream before the final norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emotion_circuits.circuits.norms import (
    block_norm,
    divisor,
    final_norm,
    frozen_scale,
    is_centered,
)
from emotion_circuits.interventions import Site, length_batches, output_projection, record
from emotion_circuits.language_models import LanguageModel


def output_weights(model: LanguageModel, layer: int) -> Float[Tensor, "head d_head d_model"]:
    """Return W_O of each head of a layer."""
    module = output_projection(model, layer)
    weight = module.get_parameter("weight").detach()
    # Conv1D of GPT-2 stores [in, out], Linear [out, in].
    matrix = weight.T if isinstance(module, nn.Linear) else weight
    heads: Tensor = matrix.unflatten(0, (model.n_heads, -1))
    return heads


@torch.no_grad()
def head_writes(
    model: LanguageModel, prompts: Sequence[Sequence[int]], *, batch_size: int = 32
) -> Float[Tensor, "prompt layer head d_model"]:
    """Return each head's contribution to the residual stream at the last position of prompts.

    A head's write is z W_O, without the projection's bias. If a norm follows the projection, as in
    Gemma 3, the write is scaled with the norm's scale on this prompt, so that the writes of all
    heads sum to the output of attention.

    Args:
        model: The model.
        prompts: Token ids, BOS included.
        batch_size: Prompts of equal length per forward pass.

    Returns:
        Writes in the model's units, on the CPU in float32.
    """
    layers = range(model.n_layers)
    norms = [block_norm(model, layer, "ln1_post") for layer in layers]
    sites = [Site("z", layer) for layer in layers]
    sites += [Site("attn_out", layer) for layer in layers if norms[layer] is not None]
    written = torch.zeros(len(prompts), model.n_layers, model.n_heads, model.d_model)
    for indices, ids in length_batches(model, prompts, batch_size):
        last = record(model, ids, sites, keep=_last_position).activations
        for layer, norm in enumerate(norms):
            writes = torch.einsum(
                "rhk,hkd->rhd", last[Site("z", layer)], output_weights(model, layer)
            )
            if norm is not None:
                writes = writes * frozen_scale(norm, last[Site("attn_out", layer)])[:, None]
            written[indices, layer] = writes.float().cpu()
    return written


@torch.no_grad()
def final_scales(
    model: LanguageModel, prompts: Sequence[Sequence[int]], *, batch_size: int = 32
) -> tuple[Float[Tensor, " prompt"], bool]:
    """Return the final norm's divisor at the last position of prompts.

    Returns:
        Standard deviation (LayerNorm) or root mean square (RMSNorm) of the stream, and whether
        the norm subtracts the mean over the stream's entries first.
    """
    norm = final_norm(model)
    stream = Site("resid_post", model.n_layers - 1)  # the final norm's input
    scales = torch.zeros(len(prompts))
    for indices, ids in length_batches(model, prompts, batch_size):
        last = record(model, ids, [stream], keep=_last_position).activations
        scales[indices] = divisor(norm, last[stream]).float().cpu()
    return scales, is_centered(norm)


def _last_position(activation: Float[Tensor, "prompt pos ..."]) -> Float[Tensor, "prompt ..."]:
    last: Tensor = activation[:, -1].clone()  # a view would keep all positions in memory
    return last


def direct_write(
    writes: Float[Tensor, "prompt layer head d_model"],
    scales: Float[Tensor, " prompt"],
    direction: Float[Tensor, " d_model"],
    *,
    centered: bool,
) -> Float[Tensor, "prompt layer head"]:
    """Project heads' writes onto a direction, in units of the final norm's output.

    Args:
        writes: Heads' writes from ``head_writes``.
        scales: Divisors of the final norm from ``final_scales``.
        direction: Direction in the stream; its length does not matter.
        centered: Whether the final norm subtracts the mean over entries.

    Returns:
        Components in units of the normed stream, whose entries have a mean square of 1.
    """
    unit = direction / direction.norm()
    if centered:
        unit = unit - unit.mean()  # equivalent to subtracting the mean from each write
    written: Tensor = (writes @ unit) / scales[:, None, None]
    return written
