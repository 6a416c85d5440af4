"""One pass over prompts for many conditions, in which layers below a change are run once a prompt.

What an intervention at layer l leaves alone, the layers below l, is the same for every condition.
So a prompt's stream there is computed once, and a row's pass begins where its condition does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.interventions.conditions import Condition
from emotion_circuits.interventions.generation import Row, check_row
from emotion_circuits.interventions.layer_entry import (
    block_outputs,
    first_layer,
    handed_over,
    select_rows,
)
from emotion_circuits.interventions.patches import Patches, Span, patched
from emotion_circuits.language_models import LanguageModel

_TOKENS_PER_PASS: Final = 4096
_LOGITS_PER_PASS: Final = 2**26

Reader = Callable[[Float[Tensor, "row vocab"]], Float[Tensor, "row value"]]


@torch.no_grad()
def read_logits(
    model: LanguageModel, rows: Sequence[Row], read: Reader
) -> Float[Tensor, "row value"]:
    """Read something off the logits at each prompt's last position, under its condition.

    Args:
        model: The model; it is as it was afterwards, whatever happens.
        rows: At least one; ``ReplaceV`` needs patterns, which are not to be had here.
        read: Is given logits in float32; the logits themselves are not kept.

    Returns:
        What was read, on the CPU, in the order of the rows.

    Raises:
        InputError: If a site does not exist or a prompt does not fit into the model's context.
    """
    found: list[Tensor] = [torch.empty(0)] * len(rows)
    for indices, logits in run_rows(model, rows, [1] * len(rows)):
        for index, value in zip(indices, read(logits[:, -1]).cpu(), strict=True):
            found[index] = value
    return torch.stack(found)


@torch.no_grad()
def run_rows(
    model: LanguageModel, rows: Sequence[Row], n_last: Sequence[int]
) -> Iterator[tuple[list[int], Float[Tensor, "row pos vocab"]]]:
    """Run each row's prompt once under its condition, a part of the rows at a time.

    Args:
        model: The model; it is as it was afterwards, whatever happens.
        rows: At least one; ``ReplaceV`` needs patterns, which are not to be had here.
        n_last: How many last positions are wanted of each row.

    Yields:
        Which rows, and their logits in float32, right-aligned: at least as many last positions as
        are wanted of any of them.

    Raises:
        InputError: If a site does not exist or a prompt does not fit into the model's context.
    """
    by_length: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        check_row(model, row, 1)
        by_length.setdefault(row.n_prompt, []).append(index)
    for length, indices in sorted(by_length.items(), reverse=True):
        indices.sort(key=lambda index: rows[index].prompt_ids)
        for chosen in _chunks(indices, max(1, _TOKENS_PER_PASS // length)):
            yield from _run_group(
                model,
                [(index, rows[index]) for index in chosen],
                max(n_last[index] for index in chosen),
            )


def _chunks(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _run_group(
    model: LanguageModel, group: list[tuple[int, Row]], n_last: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Run rows of one length, those that begin at one layer together."""
    prompts = {
        ids: place for place, ids in enumerate(dict.fromkeys(r.prompt_ids for _, r in group))
    }
    ids = torch.tensor(list(prompts), device=model.device)
    by_layer: dict[int, list[tuple[int, Row]]] = {}
    for index, row in group:
        by_layer.setdefault(first_layer(model, row.condition), []).append((index, row))
    outputs = block_outputs(model, ids, [layer - 1 for layer in by_layer if layer])
    vocab = model.plain_model.config.get_text_config().vocab_size
    size = max(1, _LOGITS_PER_PASS // (vocab * n_last))
    for layer, rows in sorted(by_layer.items()):
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            places = torch.tensor([prompts[row.prompt_ids] for _, row in part], device=ids.device)
            below = None if layer == 0 else select_rows(outputs[layer - 1], places)
            conditions = [row.condition for _, row in part]
            logits = last_logits(model, ids[places], conditions, layer, below, n_last=n_last)
            yield [index for index, _ in part], logits


def last_logits(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    conditions: Sequence[Condition],
    layer: int,
    below: Any,
    *,
    n_last: int = 1,
) -> Float[Tensor, "row last vocab"]:
    """Run one pass in which each row has its own condition, from a layer on.

    Args:
        model: The model.
        ids: Tokens.
        conditions: One a row; none changes anything below ``layer``.
        layer: The first that is run.
        below: What the block before it gives for these rows; None where ``layer`` is 0.
        n_last: How many last positions.

    Returns:
        Logits of the last positions, float32.
    """
    patches = Patches(
        model,
        conditions,
        range(len(conditions)),
        n_prompt=ids.shape[1],
        n_steps=1,
    )
    patches.at(Span(0, 0, ids.shape[1]))
    with handed_over(model, layer, below), patched(model, patches):
        logits: Tensor = model.plain_model(
            input_ids=ids, use_cache=False, logits_to_keep=n_last
        ).logits
    return logits[:, -n_last:].float()
