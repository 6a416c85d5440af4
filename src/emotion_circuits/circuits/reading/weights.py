"""Weights of a layer's attention heads, by query head, for all architectures alike."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emotion_circuits.circuits.norms import block_norm, gain
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import LanguageModel

# Rotates vectors ``[token, d_head]`` as at one position.
Rotation = Callable[[Float[Tensor, "token d_head"], int], Float[Tensor, "token d_head"]]


@dataclass(frozen=True)
class AttentionWeights:
    """Weights of one layer's heads, in float32.

    Keys and values have one entry per key/value head; query head h reads that of its group,
    ``group(h)``. Biases that an architecture lacks are zero.

    Attributes:
        layer: Counted from 0.
        norm: Norm of the stream that attention reads; ``None`` if it reads the stream itself.
        w_q: Weights of queries.
        w_k: Weights of keys.
        w_v: Weights of values.
        w_o: Output projection of each head, without its bias, which belongs to no head.
        b_q: Biases of queries.
        b_k: Biases of keys.
        b_v: Biases of values.
        q_norm: Norm of each query (Qwen 3, Gemma 3), or ``None``.
        k_norm: Norm of each key, or ``None``.
        write_gain: Gain of the norm that follows the output projection (Gemma 3); ones without.
            Its divisor depends on all heads together and is left out.
        scale: Factor of the product of query and key.
        cap: Bound of scores, c tanh(s / c) (Gemma 2), or ``None``.
        rotate: Rotary embedding of a query or key; ``None`` for learned positions.
    """

    layer: int
    norm: nn.Module | None
    w_q: Float[Tensor, "head d_model d_head"]
    w_k: Float[Tensor, "kv_head d_model d_head"]
    w_v: Float[Tensor, "kv_head d_model d_head"]
    w_o: Float[Tensor, "head d_head d_model"]
    b_q: Float[Tensor, "head d_head"]
    b_k: Float[Tensor, "kv_head d_head"]
    b_v: Float[Tensor, "kv_head d_head"]
    q_norm: nn.Module | None
    k_norm: nn.Module | None
    write_gain: Float[Tensor, " d_model"]
    scale: float
    cap: float | None
    rotate: Rotation | None

    @property
    def n_heads(self) -> int:
        """Query heads."""
        return self.w_q.shape[0]

    def group(self, head: int) -> int:
        """Return the key/value head that a query head reads."""
        return head // (self.n_heads // self.w_k.shape[0])

    def normed(self, streams: Float[Tensor, "token d_model"]) -> Float[Tensor, "token d_model"]:
        """Return what attention reads of residual streams, each normed at its own scale."""
        read: Tensor = streams if self.norm is None else self.norm(streams)
        return read.float()


def attention_weights(model: LanguageModel, layer: int) -> AttentionWeights:
    """Read the weights of a layer's heads.

    TransformerLens splits joint projections into query, key and value; norms, scale and rotation
    are those of the model's own modules.

    Raises:
        InputError: If the layer does not exist, or the architecture encodes positions or norms
            queries in another way than those known.
    """
    if not 0 <= layer < model.n_layers:
        raise InputError(
            f"layer {layer} is out of range for model {model.name!r}; allowed are 0 to "
            f"{model.n_layers - 1}"
        )
    heads = model.bridge.blocks[layer].attn
    module = attention_module(model, layer)
    w_q, w_k, w_v, w_o = (getattr(heads, f"W_{name}").detach().float() for name in "QKVO")
    after = block_norm(model, layer, "ln1_post")
    norms = [getattr(module, name, None) for name in ("q_norm", "k_norm")]
    for norm in norms:
        _check_norm(model, norm)
    biases = [
        _bias(heads, f"b_{name}", like) for name, like in zip("QKV", (w_q, w_k, w_v), strict=True)
    ]
    return AttentionWeights(
        layer,
        block_norm(model, layer, "ln1"),
        w_q,
        w_k,
        w_v,
        w_o,
        biases[0],
        biases[1],
        biases[2],
        norms[0],
        norms[1],
        torch.ones_like(w_o[0, 0]) if after is None else gain(after, model.d_model),
        float(getattr(module, "scaling", 1.0)),  # GPT-Neo does not scale
        getattr(module, "attn_logit_softcapping", None),
        _rotation(model, module, layer),
    )


def attention_module(model: LanguageModel, layer: int) -> nn.Module:
    """Return the plain model's attention of a layer."""
    component = model.bridge.adapter.component_mapping["blocks"].submodules["attn"]
    return model.plain_blocks[layer].get_submodule(component.name)


def _bias(heads: Any, name: str, weight: Tensor) -> Float[Tensor, "head d_head"]:
    bias = getattr(heads, name, None)
    shape = (weight.shape[0], weight.shape[2])
    return weight.new_zeros(shape) if bias is None else bias.detach().float().reshape(shape)


def _check_norm(model: LanguageModel, norm: nn.Module | None) -> None:
    if norm is None:
        return
    width = next(norm.parameters()).shape[-1]
    if width != model.d_head:
        raise InputError(
            f"model {model.name!r} norms {width} entries of queries and keys together; heads can "
            f"be read where each head's {model.d_head} entries are normed alone"
        )


def _rotation(model: LanguageModel, module: nn.Module, layer: int) -> Rotation | None:
    kind = model.bridge.cfg.positional_embedding_type
    if kind == "standard":
        return None
    component = model.bridge.adapter.component_mapping.get("rotary_emb")
    rotate = getattr(sys.modules[type(module).__module__], "apply_rotary_pos_emb", None)
    if kind != "rotary" or component is None or rotate is None:
        raise InputError(
            f"model {model.name!r} encodes positions as {kind!r}; heads can be read with learned "
            "positions and with rotary embeddings of all layers alike"
        )
    embedding = model.plain_model.get_submodule(component.name)
    # Gemma 3 has one rotation for sliding and one for full attention.
    by_layer = "layer_type" in inspect.signature(embedding.forward).parameters
    types = (model.plain_model.config.get_text_config().layer_types[layer],) if by_layer else ()
    return partial(_rotate, embedding, rotate, types)


@torch.no_grad()
def _rotate(
    embedding: nn.Module, apply: Any, types: tuple[str, ...], vectors: Tensor, position: int
) -> Float[Tensor, "token d_head"]:
    at = torch.tensor([[position]], device=vectors.device)
    cos, sin = embedding(vectors, at, *types)
    rotated: Tensor = apply(vectors[None, None], vectors[None, None], cos, sin)[0]
    return rotated[0, 0]
