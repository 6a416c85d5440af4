"""Weights of a decoder, apart from an architecture's file format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import transformers
from jaxtyping import Float

from emotion_circuits.planted.shape import CONTEXT, D_HEAD, PlantedShape

# So slow that the entries of `layout.sockets` do not turn within the context.
_ROPE_THETA = 1e10


@dataclass(frozen=True)
class Weights:
    """Weights that read normed and write raw streams; all biases are zero and all norms plain."""

    embed: Float[np.ndarray, "vocab d_model"]
    unembed: Float[np.ndarray, "vocab d_model"]
    q: Float[np.ndarray, "layer head d_model d_head"]
    k: Float[np.ndarray, "layer kv_head d_model d_head"]
    v: Float[np.ndarray, "layer kv_head d_model d_head"]
    o: Float[np.ndarray, "layer head d_head d_model"]
    mlp_in: Float[np.ndarray, "layer d_model d_mlp"]
    mlp_out: Float[np.ndarray, "layer d_mlp d_model"]
    # Llama's gate is ``mlp_in``; its other factor is one for every token.
    one: Float[np.ndarray, " d_model"]


def to_transformers(
    weights: Weights, shape: PlantedShape, tokenizer: transformers.PreTrainedTokenizerFast
) -> transformers.PreTrainedModel:
    """Put weights into the architecture's own model, in evaluation mode."""
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    n_vocab = len(weights.embed)
    if shape.architecture == "gpt2":
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=n_vocab,
                n_positions=CONTEXT,
                n_embd=shape.width,
                n_layer=shape.n_layers,
                n_head=shape.n_heads,
                n_inner=shape.d_mlp,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                tie_word_embeddings=False,
                **special,
            )
        )
        named = _gpt2(weights)
    else:
        model = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=n_vocab,
                max_position_embeddings=CONTEXT,
                hidden_size=shape.width,
                num_hidden_layers=shape.n_layers,
                num_attention_heads=shape.n_heads,
                num_key_value_heads=shape.key_heads,
                head_dim=D_HEAD,
                intermediate_size=shape.d_mlp,
                rope_parameters={"rope_type": "default", "rope_theta": _ROPE_THETA},
                tie_word_embeddings=False,
                **special,
            )
        )
        named = _llama(weights)
    _load(model, named)
    return model.eval()


@torch.no_grad()
def _load(model: transformers.PreTrainedModel, named: dict[str, np.ndarray]) -> None:
    """Set the named weights; what has no name is a bias, zero, or a norm's factor, one."""
    left = dict(named)
    for name, parameter in model.named_parameters():
        if name in left:
            parameter.copy_(torch.as_tensor(left.pop(name), dtype=parameter.dtype))
        elif parameter.dim() == 1:
            parameter.fill_(float(name.endswith("weight")))
        else:
            parameter.zero_()
    assert not left, f"no such weights: {sorted(left)}"


def _beside(per_head: Float[np.ndarray, "head d_model d_head"]) -> np.ndarray:
    """Return ``[d_model, head * d_head]``."""
    return np.concatenate(list(per_head), axis=1)


def _gpt2(weights: Weights) -> dict[str, np.ndarray]:
    named = {"transformer.wte.weight": weights.embed, "lm_head.weight": weights.unembed}
    for layer in range(len(weights.q)):
        block = f"transformer.h.{layer}"
        qkv = [_beside(part[layer]) for part in (weights.q, weights.k, weights.v)]
        named |= {
            f"{block}.attn.c_attn.weight": np.concatenate(qkv, axis=1),
            f"{block}.attn.c_proj.weight": np.concatenate(list(weights.o[layer]), axis=0),
            f"{block}.mlp.c_fc.weight": weights.mlp_in[layer],
            f"{block}.mlp.c_proj.weight": weights.mlp_out[layer],
        }
    return named


def _llama(weights: Weights) -> dict[str, np.ndarray]:
    named = {"model.embed_tokens.weight": weights.embed, "lm_head.weight": weights.unembed}
    for layer in range(len(weights.q)):
        block = f"model.layers.{layer}"
        up = np.repeat(weights.one[:, None], weights.mlp_in.shape[-1], axis=1)
        named |= {
            f"{block}.self_attn.q_proj.weight": _beside(weights.q[layer]).T,
            f"{block}.self_attn.k_proj.weight": _beside(weights.k[layer]).T,
            f"{block}.self_attn.v_proj.weight": _beside(weights.v[layer]).T,
            f"{block}.self_attn.o_proj.weight": np.concatenate(list(weights.o[layer])).T,
            f"{block}.mlp.gate_proj.weight": weights.mlp_in[layer].T,
            f"{block}.mlp.up_proj.weight": up.T,
            f"{block}.mlp.down_proj.weight": weights.mlp_out[layer].T,
        }
    return named
