"""Gradients of a target with respect to what each node reads, with q, k and v inputs apart.

A node reads the residual stream. The gradient with respect to the stream itself holds what all
later nodes do with it; the gradient with respect to one node's own reading is needed here. A second
pass therefore runs with the stream before each layer, and each attention's output, held fixed: then
a node's output depends on the stream before its own layer only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits.attribution import Target
from emotion_circuits.circuits.integrated_gradients import node_sites, target_at
from emotion_circuits.circuits.paths import ENTRY
from emotion_circuits.interventions import Recording, Site, record
from emotion_circuits.language_models import LanguageModel

PORTS = ("q", "k", "v")
Gradients = dict[Site, Tensor]


class Readings(NamedTuple):
    """Gradients of a target with respect to what nodes read, at the last positions of prompts.

    Attributes:
        attention: For each layer, the gradient for each head's query, key and value input.
        mlps: For each layer, the gradient for the MLP's input.
        stream: Gradient for the stream that the target itself reads.
        logits: Gradient for the stream that is read by the final norm.
        outputs: Gradient with respect to each node's output, by site.
    """

    attention: list[Float[Tensor, "pair pos port head d_model"]]
    mlps: list[Float[Tensor, "pair pos d_model"]]
    stream: Float[Tensor, "pair pos d_model"]
    logits: Float[Tensor, "pair pos d_model"]
    outputs: Gradients


def read_gradients(
    model: LanguageModel,
    ids: Int[Tensor, "pair pos"],
    replace: dict[Site, Tensor],
    target: Target,
    *,
    layer: int,
    n_last: int,
) -> Readings:
    """Differentiate a target with respect to what every node reads.

    Args:
        model: The model; its weights get no gradients.
        ids: Prompts of equal length.
        replace: Activations to run instead of the prompts' own, at sites of ``node_sites``.
        target: As for ``node_scores``.
        layer: Layer after which the target reads the stream.
        n_last: Number of last positions to return gradients at.
    """
    layers = range(model.n_layers)
    stream, final = Site("resid_post", layer), Site("resid_post", model.n_layers - 1)
    held = [Site(point, number) for number in layers for point in ("resid_pre", "attn_out")]
    read = partial(target_at, target, stream)
    outer = record(
        model,
        ids,
        list(dict.fromkeys([*node_sites(model), *held, stream])),
        gradients={"target": read},
        replace=replace,
    )
    outputs = outer.gradients["target"]
    parts, copies = _targets(model, outputs), shared_by(model)
    ports = [Site(port, number) for number in layers for port in PORTS]
    written = [Site(point, number) for number in layers for point in ("z", "mlp_out")]
    inner = record(
        model,
        ids,
        list(dict.fromkeys([*held, *ports, *written, stream, final])),
        gradients={"target": read, **parts},
        replace=replace | {site: outer.activations[site] for site in held},
    ).gradients
    attention = []
    for number in layers:
        by_port = torch.stack(
            [
                _by_query_head(
                    port, [inner[f"heads {part}"][Site(port, number)] for part in copies]
                )
                for port in PORTS
            ],
            dim=2,
        )
        before = outer.activations[Site("resid_pre", number)]
        attention.append(_before_norm(model, number, by_port[:, -n_last:], before[:, -n_last:]))
    nowhere = torch.zeros_like(outer.activations[ENTRY][:, -n_last:])
    return Readings(
        attention,
        [inner["mlps"][Site("resid_pre", number)][:, -n_last:] for number in layers],
        nowhere if stream == final else inner["target"][stream][:, -n_last:],
        inner["target"][final][:, -n_last:],
        {site: gradient[:, -n_last:] for site, gradient in outputs.items()},
    )


def shared_by(model: LanguageModel) -> range:
    """Number the query heads that share a key/value head."""
    return range(model.n_heads // int(model.bridge.blocks[0].attn.W_K.shape[0]))


def _targets(
    model: LanguageModel, outputs: Gradients
) -> dict[str, Callable[[Recording], Float[Tensor, " pair"]]]:
    """Make targets whose gradients at the inputs of nodes are those of the target itself.

    Query heads that share a key/value head are in different targets, so that each has a gradient of
    its own with respect to the shared key and value.
    """
    layers, copies = range(model.n_layers), shared_by(model)

    def mlps(seen: Recording) -> Tensor:
        sites = [Site("mlp_out", number) for number in layers]
        return torch.stack(
            [(seen.activations[site] * outputs[site]).sum((1, 2)) for site in sites]
        ).sum(0)

    def heads(part: int, seen: Recording) -> Tensor:
        sites = [Site("z", number) for number in layers]
        chosen = slice(part, None, len(copies))
        return torch.stack(
            [
                (seen.activations[site] * outputs[site])[:, :, chosen].sum((1, 2, 3))
                for site in sites
            ]
        ).sum(0)

    return {"mlps": mlps, **{f"heads {part}": partial(heads, part) for part in copies}}


def port_weights(model: LanguageModel, layer: int) -> Float[Tensor, "port head d_model d_head"]:
    """Return W_Q, W_K and W_V of each query head; heads of a group have equal W_K and W_V."""
    attention, copies = model.bridge.blocks[layer].attn, len(shared_by(model))
    return torch.stack(
        [
            attention.W_Q,
            attention.W_K.repeat_interleave(copies, dim=0),
            attention.W_V.repeat_interleave(copies, dim=0),
        ]
    )


def _by_query_head(
    port: str, parts: list[Float[Tensor, "pair pos some_heads d_head"]]
) -> Float[Tensor, "pair pos head d_head"]:
    """Arrange the gradients of all parts, one for each query head of a group, by query head."""
    if port == "q":
        return torch.stack(parts).sum(0)  # zero in all parts but the head's own
    return torch.stack(parts, dim=3).flatten(2, 3)


def _before_norm(
    model: LanguageModel,
    layer: int,
    gradients: Float[Tensor, "pair pos port head d_head"],
    stream: Float[Tensor, "pair pos d_model"],
) -> Float[Tensor, "pair pos port head d_model"]:
    """Carry gradients back through the projections to q, k and v and the norm before them."""
    weights = port_weights(model, layer).to(gradients.dtype)
    normed: Tensor = torch.einsum("bpthk,thdk->bpthd", gradients, weights)
    component = model.bridge.adapter.component_mapping["blocks"].submodules.get("ln1")
    if component is None:
        return normed
    norm = model.plain_blocks[layer].get_submodule(component.name)
    with torch.enable_grad():
        read = stream.detach()[:, :, None, None].expand_as(normed).clone().requires_grad_()
        (before,) = torch.autograd.grad(norm(read), read, normed)
    return before
