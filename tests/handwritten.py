"""Six architectures written out: matrices, softmax and sums, on the plain model's own weights.

One prompt at a time, no cache, no hooks, nothing of the package. ``edit`` may change what each
layer's heads give; ``edit_mlp`` what its MLP gives.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional


class Attention(NamedTuple):
    """What one layer's heads compute: z = pattern v."""

    layer: int
    pattern: torch.Tensor  # [head, query, key]
    v: torch.Tensor  # [pos, head, d_head], per query head
    z: torch.Tensor  # [pos, head, d_head]


def keep(attention):
    return attention.z


def keep_mlp(layer, output):
    return output


def layer_norm(x, norm):
    centered = x - x.mean(-1, keepdim=True)
    scale = (centered.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    return centered / scale * norm.weight + norm.bias


def rms_norm(x, norm, offset=0.0):
    eps = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * (offset + norm.weight)


def rotate(x, theta, n_rotary=None):
    """Rotary embedding of [pos, head, d_head], halves turned against each other."""
    n_rotary = x.shape[-1] if n_rotary is None else n_rotary
    turned, rest = x[..., :n_rotary], x[..., n_rotary:]
    frequencies = theta ** (-torch.arange(0, n_rotary, 2).float() / n_rotary)
    angles = torch.arange(x.shape[0]).float()[:, None] * frequencies
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    first, second = turned.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)


def attend(layer, q, k, v, *, scale, window=None):
    """Causal attention; with a window each position sees the last so many, itself included."""
    n = q.shape[0]
    shared_by = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(shared_by, dim=1) for x in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) * scale
    distance = torch.arange(n)[:, None] - torch.arange(n)[None]
    seen = distance >= 0 if window is None else (distance >= 0) & (distance < window)
    pattern = scores.masked_fill(~seen, -math.inf).softmax(-1)
    return Attention(layer, pattern, v, torch.einsum("hqk,khd->qhd", pattern, v))


def gpt2_logits(plain, ids, edit, edit_mlp):
    body, n_heads = plain.transformer, plain.config.n_head
    x = body.wte.weight[ids] + body.wpe.weight[: len(ids)]
    for layer, block in enumerate(body.h):
        qkv = layer_norm(x, block.ln_1) @ block.attn.c_attn.weight + block.attn.c_attn.bias
        q, k, v = (part.reshape(len(ids), n_heads, -1) for part in qkv.chunk(3, dim=-1))
        z = edit(attend(layer, q, k, v, scale=q.shape[-1] ** -0.5))
        x = x + z.flatten(1) @ block.attn.c_proj.weight + block.attn.c_proj.bias
        hidden = layer_norm(x, block.ln_2) @ block.mlp.c_fc.weight + block.mlp.c_fc.bias
        hidden = functional.gelu(hidden, approximate="tanh")
        x = x + edit_mlp(layer, hidden @ block.mlp.c_proj.weight + block.mlp.c_proj.bias)
    return layer_norm(x, body.ln_f) @ body.wte.weight.T


def gpt_neox_logits(plain, ids, edit, edit_mlp):
    body, config = plain.gpt_neox, plain.config
    n_heads, d_head = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    n_rotary = int(d_head * rope.get("partial_rotary_factor", 1.0))
    x = body.embed_in.weight[ids]
    for layer, block in enumerate(body.layers):
        weights = block.attention.query_key_value
        qkv = layer_norm(x, block.input_layernorm) @ weights.weight.T + weights.bias
        q, k, v = qkv.reshape(len(ids), n_heads, 3 * d_head).chunk(3, dim=-1)
        q, k = (rotate(part, rope["rope_theta"], n_rotary) for part in (q, k))
        z = edit(attend(layer, q, k, v, scale=d_head**-0.5))
        out = z.flatten(1) @ block.attention.dense.weight.T + block.attention.dense.bias
        hidden = layer_norm(x, block.post_attention_layernorm) @ block.mlp.dense_h_to_4h.weight.T
        hidden = functional.gelu(hidden + block.mlp.dense_h_to_4h.bias)
        mlp = hidden @ block.mlp.dense_4h_to_h.weight.T + block.mlp.dense_4h_to_h.bias
        x = x + out + edit_mlp(layer, mlp)  # both read the same stream
    return layer_norm(x, body.final_layer_norm) @ plain.get_output_embeddings().weight.T


def gpt_neo_logits(plain, ids, edit, edit_mlp):
    body, config = plain.transformer, plain.config
    x = body.wte.weight[ids] + body.wpe.weight[: len(ids)]
    for layer, block in enumerate(body.h):
        heads = block.attn.attention
        normed = layer_norm(x, block.ln_1)
        q, k, v = (
            (normed @ part.weight.T).reshape(len(ids), config.num_heads, -1)
            for part in (heads.q_proj, heads.k_proj, heads.v_proj)
        )
        local = config.attention_layers[layer] == "local"
        z = edit(attend(layer, q, k, v, scale=1, window=config.window_size if local else None))
        x = x + z.flatten(1) @ heads.out_proj.weight.T + heads.out_proj.bias
        hidden = layer_norm(x, block.ln_2) @ block.mlp.c_fc.weight.T + block.mlp.c_fc.bias
        hidden = functional.gelu(hidden, approximate="tanh")
        x = x + edit_mlp(layer, hidden @ block.mlp.c_proj.weight.T + block.mlp.c_proj.bias)
    return layer_norm(x, body.ln_f) @ plain.get_output_embeddings().weight.T


def _grouped_heads(block, normed, config):
    heads = block.self_attn
    q, k, v = (
        (normed @ part.weight.T).reshape(len(normed), -1, config.head_dim)
        for part in (heads.q_proj, heads.k_proj, heads.v_proj)
    )
    return q, k, v


def _gated_mlp(block, x, activation):
    gate = activation(x @ block.mlp.gate_proj.weight.T)
    return (gate * (x @ block.mlp.up_proj.weight.T)) @ block.mlp.down_proj.weight.T


def llama_logits(plain, ids, edit, edit_mlp):
    body, config = plain.model, plain.config
    x = body.embed_tokens.weight[ids]
    for layer, block in enumerate(body.layers):
        q, k, v = _grouped_heads(block, rms_norm(x, block.input_layernorm), config)
        if hasattr(block.self_attn, "q_norm"):  # Qwen3
            q = rms_norm(q, block.self_attn.q_norm)
            k = rms_norm(k, block.self_attn.k_norm)
        q, k = (rotate(part, config.rope_parameters["rope_theta"]) for part in (q, k))
        z = edit(attend(layer, q, k, v, scale=config.head_dim**-0.5))
        x = x + z.flatten(1) @ block.self_attn.o_proj.weight.T
        normed = rms_norm(x, block.post_attention_layernorm)
        x = x + edit_mlp(layer, _gated_mlp(block, normed, functional.silu))
    return rms_norm(x, body.norm) @ plain.get_output_embeddings().weight.T


def gemma3_logits(plain, ids, edit, edit_mlp):
    body, config = plain.model, plain.config
    x = body.embed_tokens.weight[ids] * config.hidden_size**0.5
    for layer, block in enumerate(body.layers):
        kind = config.layer_types[layer]
        normed = rms_norm(x, block.input_layernorm, 1)
        q, k, v = _grouped_heads(block, normed, config)
        q = rms_norm(q, block.self_attn.q_norm, 1)
        k = rms_norm(k, block.self_attn.k_norm, 1)
        q, k = (rotate(part, config.rope_parameters[kind]["rope_theta"]) for part in (q, k))
        window = config.sliding_window if kind == "sliding_attention" else None
        scale = config.query_pre_attn_scalar**-0.5
        z = edit(attend(layer, q, k, v, scale=scale, window=window))
        out = z.flatten(1) @ block.self_attn.o_proj.weight.T
        x = x + rms_norm(out, block.post_attention_layernorm, 1)
        normed = rms_norm(x, block.pre_feedforward_layernorm, 1)
        mlp = _gated_mlp(block, normed, lambda g: functional.gelu(g, approximate="tanh"))
        x = x + rms_norm(edit_mlp(layer, mlp), block.post_feedforward_layernorm, 1)
    return rms_norm(x, body.norm, 1) @ plain.get_output_embeddings().weight.T


_WRITTEN = {
    "gpt2": gpt2_logits,
    "gpt_neox": gpt_neox_logits,
    "gpt_neo": gpt_neo_logits,
    "llama": llama_logits,
    "qwen3": llama_logits,
    "gemma3": gemma3_logits,
}


@torch.no_grad()
def written_logits(plain, architecture, ids, edit=keep, edit_mlp=keep_mlp):
    """Logits [pos, vocab] of one prompt."""
    return _WRITTEN[architecture](plain, torch.tensor(ids), edit, edit_mlp)


def written_heads(plain, architecture, ids):
    """What every layer's heads compute on a prompt, and what its MLP gives."""
    heads, mlps = [], []

    def see(attention):
        heads.append(attention)
        return attention.z

    def see_mlp(layer, output):
        mlps.append(output)
        return output

    written_logits(plain, architecture, ids, see, see_mlp)
    return heads, mlps
