"""Forward passes that begin at a layer, so that the layers below it run once per prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from jaxtyping import Bool, Int
from torch import Tensor

from emotion_circuits.interventions.conditions import Condition
from emotion_circuits.interventions.recording.record import record
from emotion_circuits.interventions.sites import Site
from emotion_circuits.language_models import LanguageModel


def rows_by_layer(model: LanguageModel, conditions: Sequence[Condition]) -> dict[int, list[int]]:
    """Group rows by the first layer that their condition changes; ``n_layers`` for no change."""
    groups: dict[int, list[int]] = {}
    for row, condition in enumerate(conditions):
        layers = (item.site.layer for item in condition.interventions)
        groups.setdefault(min(layers, default=model.n_layers), []).append(row)
    return dict(sorted(groups.items()))


def block_outputs(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    layers: Sequence[int],
    *,
    cache: Any = None,
    mask: Bool[Tensor, "row pos"] | None = None,
) -> dict[int, Any]:
    """Run unpatched prompts, fill a cache, and return the outputs of blocks by layer.

    Args:
        model: The model.
        ids: Tokens.
        layers: The blocks.
        cache: A cache of ``transformers`` to fill; ``None`` for none.
        mask: ``False`` for padding; ``None`` without padding.
    """
    if not layers and cache is None:
        return {}
    sites = [Site("block_out", layer) for layer in layers]
    # Positions before a patch are read from the cache by all layers, so it must be whole.
    outputs = record(
        model, ids, sites, mask=mask, cache=cache, logits=cache is not None
    ).activations
    return {site.layer: output for site, output in outputs.items()}


def select_rows(output: Any, rows: Int[Tensor, " row"], *, first: int = 0) -> Any:
    """Select rows and positions of a block's output; other parts of a tuple become ``None``."""
    if isinstance(output, tuple):
        return (output[0][:, first:].index_select(0, rows), *(None for _ in output[1:]))
    return output[:, first:].index_select(0, rows)


@contextmanager
def handed_over(model: LanguageModel, layer: int, below: Any) -> Iterator[None]:
    """Let all blocks below a layer return a known output instead of running.

    Args:
        model: The model whose ``plain_model`` is called within the context.
        layer: The first block that runs.
        below: The output of the previous block: a tensor, or a tuple that begins with one.
    """
    blocks = model.plain_blocks[:layer]
    try:
        for block in blocks:
            block.forward = partial(_hand_over, below)
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)  # restores the class's method


def _hand_over(below: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG001 - a block's signature
    return below
