"""Residual streams of tokens without context, which heads are read with."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits.norms import block_norm
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import Site, record
from emotion_circuits.language_models import LanguageModel

Streams = Literal["embedding", "first_mlp"]


@torch.no_grad()
def token_streams(
    model: LanguageModel, tokens: Int[Tensor, " token"], *, kind: Streams = "embedding"
) -> Float[Tensor, "token d_model"]:
    """Return a residual stream for each token, without context and without position.

    Args:
        model: The model.
        tokens: Token ids.
        kind: ``embedding``: the token's embedding, the exact stream before layer 0 but for learned
            positions. ``first_mlp``: the embedding and what layer 0's MLP adds to it, without
            attention, which later layers know a token by.

    Returns:
        Streams in the model's units, on its device in its dtype.

    Raises:
        InputError: If the model does more to embeddings than to add positions to them.

    Source: effective embedding, McDougall et al. 2023, arXiv:2310.04625.
    """
    ids = tokens.to(model.device)
    streams: Tensor = model.plain_model.get_input_embeddings()(ids)
    _check(model, ids[:1], streams[:1])
    return streams if kind == "embedding" else streams + _first_mlp(model, streams)


def _first_mlp(
    model: LanguageModel, streams: Float[Tensor, "token d_model"]
) -> Float[Tensor, "token d_model"]:
    before, after = (block_norm(model, 0, name) for name in ("ln2", "ln2_post"))
    component = model.bridge.adapter.component_mapping["blocks"].submodules["mlp"]
    mlp = model.plain_blocks[0].get_submodule(component.name)
    written = mlp((streams if before is None else before(streams))[None])
    if isinstance(written, tuple):  # a mixture of experts returns its choice as well
        written = written[0]
    added: Tensor = written[0] if after is None else after(written[0])
    return added


def _check(model: LanguageModel, token: Int[Tensor, 1], stream: Float[Tensor, "1 d_model"]) -> None:
    """Compare an embedding with the stream that the model itself begins with."""
    entry = Site("resid_pre", 0)
    begun = record(model, token[None], [entry]).activations[entry][0]
    if model.bridge.adapter.component_mapping.get("pos_embed") is not None:
        begun = begun - model.bridge.W_pos[:1]
    difference = float((begun - stream).abs().max())
    if difference > 0.01 * float(stream.abs().max()):
        raise InputError(
            f"model {model.name!r} changes embeddings by {difference:.3g} before its first layer; "
            "heads can be read where only learned positions are added to them"
        )
