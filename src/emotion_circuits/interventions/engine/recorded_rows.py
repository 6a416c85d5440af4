"""Activations of prompts under conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import torch

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.engine.groups import Span
from emotion_circuits.interventions.engine.patches import Patches, patched
from emotion_circuits.interventions.engine.rows import Row, check_row
from emotion_circuits.interventions.recording.batches import by_length, chunks
from emotion_circuits.interventions.recording.record import Recording, on_cpu, record
from emotion_circuits.interventions.sites import BRIDGE_POINTS, Site
from emotion_circuits.language_models import LanguageModel

_TOKENS_PER_PASS: Final = 4096


def record_rows(
    model: LanguageModel, rows: Sequence[Row], sites: Sequence[Site]
) -> Iterator[tuple[list[int], Recording]]:
    """Run each row's prompt once under its condition, and record activations at some sites.

    Args:
        model: The model; it is unchanged after each part, even after an exception.
        rows: Prompts and conditions; no operator needs attention patterns or values.
        sites: Sites of the plain model, without heads.

    Yields:
        Indices of rows of equal length, and their recording on the CPU in float32, a part of the
        rows at a time. What a site shows is the activation after the row's changes there.

    Raises:
        InputError: If a site or row cannot be run, or is only shown by the bridge.
    """
    for site in sites:
        if site.point in BRIDGE_POINTS:
            raise InputError(
                f"{site} cannot be recorded under conditions; only the bridge shows it"
            )
    for row in rows:
        check_row(model, row, 1)
        if row.condition.reads_attention:
            raise InputError(
                f"condition {row.condition.name!r} needs attention patterns or values; rows that "
                "are recorded allow operators without such needs"
            )
    for indices in by_length([row.prompt_ids for row in rows]):
        length = rows[indices[0]].n_prompt
        for part in chunks(indices, max(1, _TOKENS_PER_PASS // length)):
            ids = torch.tensor([rows[index].prompt_ids for index in part], device=model.device)
            conditions = [rows[index].condition for index in part]
            lengths = [length] * len(part)
            patches = Patches(model, conditions, range(len(part)), n_prompts=lengths, n_steps=1)
            patches.at(Span.of_prompts(len(part), 0, length))
            with patched(model, patches):
                recorded = record(model, ids, sites, keep=on_cpu)
            yield part, recorded
