"""Ablation and readings in plain PyTorch and transformers, without the project's engine."""

from contextlib import ExitStack

import torch

from emotion_circuits.circuits import Graph
from emotion_circuits.planted.shape import D_HEAD


def encode(planted, text):
    return torch.tensor([[planted.tokenizer.bos_token_id, *planted.tokenizer(text).input_ids]])


def texts_of(planted, label, split="test"):
    table = planted.prompts
    chosen = (table["emotion"] == label) & (table["split"] == split)
    return table.loc[chosen, "text"].tolist()


def blocks_of(model):
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


def _silence_head(head):
    entries = slice(head * D_HEAD, (head + 1) * D_HEAD)

    def hook(module, args):
        z = args[0].clone()
        z[..., entries] = 0
        return (z, *args[1:])

    return hook


def silenced(planted, names):
    """Set the outputs of nodes to zero, within a context."""
    graph = Graph(planted.truth.n_layers, planted.truth.n_heads)
    stack = ExitStack()
    for name in names:
        node = graph.node(name)
        block = blocks_of(planted.model)[node.layer]
        if node.kind == "mlp":
            handle = block.mlp.register_forward_hook(lambda module, args, output: 0 * output)
        else:
            attention = block.attn.c_proj if hasattr(block, "attn") else block.self_attn.o_proj
            handle = attention.register_forward_pre_hook(_silence_head(node.head))
        stack.callback(handle.remove)
    return stack


@torch.no_grad()
def mean_odds(planted, texts, emotion, without=()):
    """Mean log odds of an emotion's reactions as the next word after texts."""
    ids = planted.tokenizer.convert_tokens_to_ids(planted.truth.reactions[emotion])
    values = []
    with silenced(planted, without):
        for text in texts:
            p = planted.model(encode(planted, text)).logits[0, -1].double().softmax(-1)[ids].sum()
            values.append((p.log() - (1 - p).log()).item())
    return sum(values) / len(values)


def reaction_odds(planted, label, emotion=None, without=()):
    """Mean log odds of an emotion's reactions, its own by default, on eight texts of a label."""
    return mean_odds(planted, texts_of(planted, label)[:8], emotion or label, without)


@torch.no_grad()
def last_streams(planted, texts):
    """The stream after each layer at the last position, and its lengths at all positions."""
    kept = []
    handles = [
        block.register_forward_hook(
            lambda module, args, out: kept.append((out[0] if isinstance(out, tuple) else out)[0])
        )
        for block in blocks_of(planted.model)
    ]
    streams, norms = [], []
    for text in texts:
        kept.clear()
        planted.model(encode(planted, text))
        streams.append(torch.stack([stream[-1] for stream in kept]))
        norms += [stream.norm(dim=-1) for stream in kept]
    for handle in handles:
        handle.remove()
    return torch.stack(streams), torch.cat(norms)
