"""Beginning a forward pass at a layer: what lies below it is computed once a prompt and shared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from jaxtyping import Int
from torch import Tensor

from emotion_circuits.interventions.conditions import Condition
from emotion_circuits.interventions.record import record
from emotion_circuits.interventions.sites import Site
from emotion_circuits.language_models import LanguageModel


def first_layer(model: LanguageModel, condition: Condition) -> int:
    """Give the first layer that does not compute what it does without the condition."""
    return min((item.site.layer for item in condition.interventions), default=model.n_layers)


@contextmanager
def handed_over(model: LanguageModel, layer: int, below: Any) -> Iterator[None]:
    """Do not run the blocks below a layer; the last of them gives what is handed over.

    Args:
        model: Its plain model is to be called within.
        layer: The first block that runs.
        below: A block's output: a tensor, or a tuple that begins with one.
    """
    blocks = model.plain_blocks[:layer]
    try:
        for block in blocks:
            block.forward = partial(_hand_over, below)
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)  # what is left is the class's own


def _hand_over(below: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG001 - a block's signature
    return below


def block_outputs(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    layers: Sequence[int],
    *,
    cache: Any = None,
) -> dict[int, Any]:
    """Run prompts without any change and keep the outputs of some blocks, by layer.

    Args:
        model: The model.
        ids: Tokens.
        layers: The blocks' layers.
        cache: A cache that keys and values are written to; ``None`` for none.
    """
    if not layers and cache is None:
        return {}
    sites = [Site("block_out", layer) for layer in layers]
    outputs = record(model, ids, sites, cache=cache).activations
    return {site.layer: output for site, output in outputs.items()}


def select_rows(output: Any, rows: Int[Tensor, " row"], *, first: int = 0) -> Any:
    """Take some rows of a block's output, from a position on; what stands beside is dropped."""
    if isinstance(output, tuple):
        return (output[0][:, first:].index_select(0, rows), *(None for _ in output[1:]))
    return output[:, first:].index_select(0, rows)
