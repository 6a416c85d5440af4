"""One pass over prompts for many conditions, with shared layers below the interventions.

An intervention at layer l does not change the layers below l. A prompt's stream there is computed
once, and each row's pass begins at the first layer that its condition changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.conditions import Condition
from emotion_circuits.interventions.engine.groups import Span
from emotion_circuits.interventions.engine.layer_entry import (
    block_outputs,
    handed_over,
    rows_by_layer,
    select_rows,
)
from emotion_circuits.interventions.engine.patches import Patches, patched
from emotion_circuits.interventions.engine.rows import Row, check_row
from emotion_circuits.interventions.recording.batches import by_length, chunks
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.progress import progress_bar

_TOKENS_PER_PASS: Final = 4096
_LOGITS_PER_PASS: Final = 2**26

Reader = Callable[[Float[Tensor, "row vocab"]], Float[Tensor, "row value"]]


def read_logits(
    model: LanguageModel, rows: Sequence[Row], read: Reader, *, progress: str | None = None
) -> Float[Tensor, "row value"]:
    """Compute values from the logits at each prompt's last position, under the row's condition.

    Args:
        model: The model; it is unchanged afterwards, even after an exception.
        rows: At least one row; no operator needs attention patterns or values.
        read: Function of logits in float32; the logits are not kept.
        progress: Label of a progress bar; ``None`` for no bar.

    Returns:
        The values, on the CPU, in the order of the rows.

    Raises:
        InputError: If a row cannot be run, as for ``run_rows``.
    """
    values: list[Tensor] = [torch.empty(0)] * len(rows)
    with progress_bar(total=len(rows), desc=progress, unit="row", disable=progress is None) as bar:
        for indices, logits in run_rows(model, rows, [1] * len(rows)):
            for index, value in zip(indices, read(logits[:, -1]).cpu(), strict=True):
                values[index] = value
            bar.update(len(indices))
    return torch.stack(values)


@torch.no_grad()
def run_rows(
    model: LanguageModel, rows: Sequence[Row], n_last: Sequence[int]
) -> Iterator[tuple[list[int], Float[Tensor, "row pos vocab"]]]:
    """Run each row's prompt once under its condition, a part of the rows at a time.

    Args:
        model: The model; it is unchanged afterwards, even after an exception.
        rows: At least one row; no operator needs attention patterns or values.
        n_last: Number of last positions to return for each row.

    Yields:
        Indices of rows, and their logits in float32 at the last positions: as many positions as
        the largest ``n_last`` of these rows.

    Raises:
        InputError: If a site does not exist, a prompt does not fit into the model's context, or an
            operator needs attention patterns or values, which the plain model does not show.
    """
    for row in rows:
        check_row(model, row, 1)
        if row.condition.reads_attention:
            raise InputError(
                f"condition {row.condition.name!r} needs attention patterns or values; rows that "
                "are read in one pass allow operators without such needs"
            )
    for indices in by_length([row.prompt_ids for row in rows]):
        indices.sort(key=lambda index: rows[index].prompt_ids)
        length = rows[indices[0]].n_prompt
        for part in chunks(indices, max(1, _TOKENS_PER_PASS // length)):
            yield from _run_part(model, rows, part, max(n_last[index] for index in part))


def _run_part(
    model: LanguageModel, rows: Sequence[Row], indices: list[int], n_last: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Run rows of equal length, in groups that begin at the same layer."""
    distinct = dict.fromkeys(rows[index].prompt_ids for index in indices)
    prompt_of = {ids: prompt for prompt, ids in enumerate(distinct)}
    ids = torch.tensor(list(distinct), device=model.device)
    groups = rows_by_layer(model, [rows[index].condition for index in indices])
    outputs = block_outputs(model, ids, [layer - 1 for layer in groups if layer])
    vocab = model.plain_model.config.get_text_config().vocab_size
    for layer, members in groups.items():
        for part in chunks(members, max(1, _LOGITS_PER_PASS // (vocab * n_last))):
            chosen = [indices[member] for member in part]
            prompts = torch.tensor(
                [prompt_of[rows[index].prompt_ids] for index in chosen], device=ids.device
            )
            below = select_rows(outputs[layer - 1], prompts) if layer else None
            conditions = [rows[index].condition for index in chosen]
            yield chosen, _last_logits(model, ids[prompts], conditions, layer, below, n_last)


def _last_logits(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    conditions: Sequence[Condition],
    layer: int,
    below: Any,
    n_last: int,
) -> Float[Tensor, "row last vocab"]:
    """Run one pass from a layer on, with a condition for each row.

    Args:
        model: The model.
        ids: Tokens.
        conditions: The condition of each row; none changes a layer below ``layer``.
        layer: The first layer that runs.
        below: The output of the previous block for these rows; ``None`` if ``layer`` is 0.
        n_last: Number of last positions to return logits of.
    """
    n_prompt = ids.shape[1]
    n_rows = len(conditions)
    patches = Patches(model, conditions, range(n_rows), n_prompts=[n_prompt] * n_rows, n_steps=1)
    patches.at(Span.of_prompts(n_rows, 0, n_prompt))
    with handed_over(model, layer, below), patched(model, patches):
        logits: Tensor = model.plain_model(
            input_ids=ids, use_cache=False, logits_to_keep=n_last
        ).logits
    return logits[:, -n_last:].float()
