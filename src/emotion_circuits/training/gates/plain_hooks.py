"""Reading and changing a plain transformers model by forward hooks, for the gates only.

The study itself goes through ``emotion_circuits.interventions``. The gates use as little as can
be: hooks on the model as it was trained, there only within a ``with`` block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from emotion_circuits.training.trained import Trained


def blocks_of(model: PreTrainedModel) -> list[nn.Module]:
    """Give the transformer blocks of a GPT-2 or a Llama, in order."""
    return list(model.transformer.h if model.config.model_type == "gpt2" else model.model.layers)


def output_projections_of(model: PreTrainedModel) -> list[nn.Module]:
    """Give each block's attention output projection, whose input is all heads' ``z``."""
    if model.config.model_type == "gpt2":
        return [block.attn.c_proj for block in model.transformer.h]
    return [block.self_attn.o_proj for block in model.model.layers]


def _stream(output: Any) -> Tensor:
    stream: Tensor = output[0] if isinstance(output, tuple) else output
    return stream


def _with_stream(output: Any, stream: Tensor) -> Any:
    return (stream, *output[1:]) if isinstance(output, tuple) else stream


@contextmanager
def added_at_the_end(
    model: PreTrainedModel, vectors: Float[Tensor, "layer row d_model"]
) -> Iterator[None]:
    """Add a vector to the stream after each block, at the last position that is read.

    Read token by token after the prompt, each position from the prompt's last one on is then
    patched when it is first read, and stays so in the cache.

    Args:
        model: Gets the hooks, and loses them at the end, whatever happens.
        vectors: For each block and row of the batch what to add; zero for nothing.
    """

    def add(vector: Tensor) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            stream = _stream(output).clone()
            stream[:, -1] += vector
            return _with_stream(output, stream)

        return hook

    handles = [
        block.register_forward_hook(add(vector))
        for block, vector in zip(blocks_of(model), vectors, strict=True)
        if bool(vector.any())
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def zeroed_heads(model: PreTrainedModel, silent: Bool[Tensor, "layer row head"]) -> Iterator[None]:
    """Set heads' outputs, before the output projection, to zero at each position that is read.

    Args:
        model: Gets the hooks, and loses them at the end, whatever happens.
        silent: For each block and row of the batch which heads.
    """

    def silence(heads: Tensor) -> Any:
        def hook(_module: nn.Module, args: tuple[Tensor, ...]) -> Any:
            z = args[0]
            by_head = z.view(*z.shape[:2], heads.shape[1], -1)
            return (by_head.masked_fill(heads[:, None, :, None], 0.0).view_as(z), *args[1:])

        return hook

    handles = [
        projection.register_forward_pre_hook(silence(heads))
        for projection, heads in zip(output_projections_of(model), silent, strict=True)
        if bool(heads.any())
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def encode_prompts(trained: Trained, prompts: Sequence[str]) -> list[list[int]]:
    """Encode prompts, each beginning with ``<s>``, whatever the tokenizer does by itself."""
    bos = trained.tokenizer.bos_token_id
    encoded = trained.tokenizer(list(prompts), add_special_tokens=False).input_ids
    return [[bos, *ids] for ids in encoded]


def rows_by_length(encoded: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """Group row numbers by length, so that nothing is padded."""
    found: dict[int, list[int]] = {}
    for row, ids in enumerate(encoded):
        found.setdefault(len(ids), []).append(row)
    return dict(sorted(found.items()))


@torch.no_grad()
def mean_streams(
    trained: Trained, prompts: Sequence[str]
) -> Float[np.ndarray, "prompt layer d_model"]:
    """Average the stream after each block over a prompt's own tokens, without ``<s>``."""
    encoded = encode_prompts(trained, prompts)
    blocks = blocks_of(trained.model)
    means = np.zeros((len(encoded), len(blocks), trained.model.config.hidden_size))
    read: dict[int, Tensor] = {}

    def note(layer: int) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            read[layer] = _stream(output)[:, 1:].double().mean(dim=1)

        return hook

    handles = [block.register_forward_hook(note(layer)) for layer, block in enumerate(blocks)]
    try:
        for rows in rows_by_length(encoded).values():
            trained.model(input_ids=torch.tensor([encoded[row] for row in rows]))
            means[rows] = torch.stack([read[layer] for layer in range(len(blocks))], 1).numpy()
    finally:
        for handle in handles:
            handle.remove()
    return means
