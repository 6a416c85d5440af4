"""Two architectures as graphs: each node's reading of the stream is a sum of what nodes wrote.

One prompt, one head and one of its inputs at a time, on the plain model's own weights; nothing of
the package. ``read(written, reader)`` gives the stream that a reader sees, for example
``a1.h0<q>``, ``m2`` or ``logits``; ``written`` holds what each node has written so far. Constant
biases of output projections are written by nodes of their own, named ``bias``.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from handwritten import attend, layer_norm, rms_norm, rotate


def read_all(written, reader):
    return sum(written.values())


def llama_graph(plain, ids, read=read_all):
    """Logits [vocab] at the last position, and what each node writes, [pos, d_model]."""
    body, config = plain.model, plain.config
    shared_by = config.num_attention_heads // config.num_key_value_heads
    written = {"input": body.embed_tokens.weight[ids].detach()}
    for layer, block in enumerate(body.layers):
        heads, new = block.self_attn, {}
        for head in range(config.num_attention_heads):
            parts = []
            for port, weights, index in (
                ("q", heads.q_proj, head),
                ("k", heads.k_proj, head // shared_by),
                ("v", heads.v_proj, head // shared_by),
            ):
                stream = read(written, f"a{layer}.h{head}<{port}>")
                rows = slice(index * config.head_dim, (index + 1) * config.head_dim)
                part = rms_norm(stream, block.input_layernorm) @ weights.weight[rows].T
                if port != "v":
                    part = rotate(part[:, None], config.rope_parameters["rope_theta"])[:, 0]
                parts.append(part[:, None])
            z = attend(layer, *parts, scale=config.head_dim**-0.5).z[:, 0]
            columns = slice(head * config.head_dim, (head + 1) * config.head_dim)
            new[f"a{layer}.h{head}"] = z @ heads.o_proj.weight[:, columns].T
        written |= new
        normed = rms_norm(read(written, f"m{layer}"), block.post_attention_layernorm)
        gate = functional.silu(normed @ block.mlp.gate_proj.weight.T)
        up = normed @ block.mlp.up_proj.weight.T
        written[f"m{layer}"] = (gate * up) @ block.mlp.down_proj.weight.T
    final = rms_norm(read(written, "logits"), body.norm)
    return (final @ plain.get_output_embeddings().weight.T)[-1], written


def gpt2_graph(plain, ids, read=read_all):
    """Logits [vocab] at the last position, and what each node writes, [pos, d_model]."""
    body, n_heads = plain.transformer, plain.config.n_head
    d_model = plain.config.n_embd
    d_head = d_model // n_heads
    written = {"input": (body.wte.weight[ids] + body.wpe.weight[: len(ids)]).detach()}
    for layer, block in enumerate(body.h):
        weights, new = block.attn.c_attn, {}
        for head in range(n_heads):
            parts = []
            for place, port in enumerate("qkv"):
                first = place * d_model + head * d_head
                columns = slice(first, first + d_head)
                normed = layer_norm(read(written, f"a{layer}.h{head}<{port}>"), block.ln_1)
                part = normed @ weights.weight[:, columns] + weights.bias[columns]
                parts.append(part[:, None])
            z = attend(layer, *parts, scale=d_head**-0.5).z[:, 0]
            new[f"a{layer}.h{head}"] = (
                z @ block.attn.c_proj.weight[head * d_head : (head + 1) * d_head]
            )
        written |= new
        written[f"bias {layer}"] = block.attn.c_proj.bias.expand(len(ids), -1)
        hidden = layer_norm(read(written, f"m{layer}"), block.ln_2)
        hidden = hidden @ block.mlp.c_fc.weight + block.mlp.c_fc.bias
        hidden = functional.gelu(hidden, approximate="tanh")
        written[f"m{layer}"] = hidden @ block.mlp.c_proj.weight + block.mlp.c_proj.bias
    return (layer_norm(read(written, "logits"), body.ln_f) @ body.wte.weight.T)[-1], written


GRAPHS = {"gpt2": gpt2_graph, "llama": llama_graph}


def attribution(architecture, plain, clean, corrupted, value, edges, moved=(), share=1.0):
    """Edge scores from a gradient for each reader's own copy of the stream.

    The gradients are those of the clean prompt, or with what some nodes, ``moved``, write at a
    share of the way from the corrupted to the clean prompt.
    """
    forward = GRAPHS[architecture]
    probes = {}
    with torch.no_grad():
        _, other = forward(plain, corrupted)
    n = min(len(clean), len(corrupted))
    n -= len(clean) != len(corrupted)  # BOS is no counterpart of a word

    def read(written, reader):
        probes[reader] = torch.zeros_like(written["input"], requires_grad=True)
        seen = dict(written)
        for name in set(moved) & set(written):
            seen[name] = written[name].clone()
            seen[name][-n:] += (1 - share) * (other[name][-n:] - written[name][-n:])
        return read_all(seen, reader) + probes[reader]

    logits, written = forward(plain, clean, read)
    gradients = dict(
        zip(probes, torch.autograd.grad(value(logits), list(probes.values())), strict=True)
    )
    scores = {}
    for name in edges:
        source, reader = name.split("->")
        difference = written[source][-n:] - other[source][-n:]
        scores[name] = float((difference * gradients[reader][-n:]).sum().detach())
    return scores
