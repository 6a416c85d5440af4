"""Interventions of one type at one site, compiled for a batch of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.interventions.conditions import Condition, Intervention
from emotion_circuits.interventions.engine.plans import plan
from emotion_circuits.interventions.sites import Site
from emotion_circuits.language_models import LanguageModel


class Span(NamedTuple):
    """The slots that a forward pass reads, ``first`` … ``end`` − 1, and the step of each row.

    A slot is a place in a batch's tensors. In a batch with prompts of one length, it is the
    position in the text; shorter texts begin at a later slot, so that all texts end together.
    """

    steps: Int[np.ndarray, " row"]
    first: int
    end: int

    @classmethod
    def of_prompts(cls, n_rows: int, first: int, end: int) -> Span:
        """Return the span of a pass of step 0."""
        return cls(np.zeros(n_rows, dtype=int), first, end)


@dataclass
class Group:
    """Interventions of one operator type at one site, at most one per row and head.

    Attributes:
        operator: The operator type.
        owners: Index of each entry's row in the batch.
        rows: The same on the model's device.
        heads: The head of each entry; ``None`` at points other than ``z``.
        parameters: The operators' tensors, stacked over entries.
        paddings: Number of slots before each entry's row begins.
        fixed: α of each slot that stays patched.
        moving: α of each step, for moving windows.
        starts: The first slot of the window at each step.
        labels: Index of each entry's row among all rows of the call, and of its intervention in
            the condition.
    """

    operator: Any
    owners: Int[np.ndarray, " entry"]
    rows: Int[Tensor, " entry"]
    heads: Int[Tensor, " entry"] | None
    parameters: tuple[Tensor, ...]
    paddings: Int[Tensor, " entry"]
    fixed: Float[np.ndarray, "entry total"]
    moving: Float[np.ndarray, "entry step"]
    starts: Int[np.ndarray, "entry step"]
    labels: list[tuple[int, int]]

    @property
    def entries(self) -> tuple[Any, ...]:
        """Index of the entries in activations ``[row, pos, ...]``."""
        return (self.rows,) if self.heads is None else (self.rows, slice(None), self.heads)

    def strength(self, span: Span) -> Float[np.ndarray, "entry slot"]:
        """Return α for each entry at each slot that a pass reads."""
        slots = np.arange(span.first, span.end)
        now = (np.arange(len(self.owners)), span.steps[self.owners])
        inside = slots >= self.starts[now][:, None]
        moving = self.moving[now][:, None] * inside
        total: np.ndarray = self.fixed[:, span.first : span.end] + moving
        return total

    def select(self, new_rows_of: dict[int, list[int]]) -> Group | None:
        """Return the group of a batch with some of the rows; ``None`` if it has no entries.

        Args:
            new_rows_of: For each old row, the rows of the new batch that repeat it.
        """
        pairs = [
            (entry, new)
            for entry, row in enumerate(self.owners.tolist())
            for new in new_rows_of.get(row, ())
        ]
        if not pairs:
            return None
        kept, new_rows = map(list, zip(*pairs, strict=True))
        entries = torch.tensor(kept)
        return Group(
            self.operator,
            np.array(new_rows),
            torch.tensor(new_rows, device=self.rows.device),
            None if self.heads is None else _select(self.heads, entries),
            tuple(_select(parameter, entries) for parameter in self.parameters),
            _select(self.paddings, entries),
            self.fixed[kept],
            self.moving[kept],
            self.starts[kept],
            [self.labels[entry] for entry in kept],
        )


def _select(tensor: Tensor, entries: Int[Tensor, " kept"]) -> Tensor:
    return tensor.index_select(0, entries.to(tensor.device))


def compile_groups(
    model: LanguageModel,
    conditions: Sequence[Condition],
    row_ids: Sequence[int],
    *,
    n_prompts: Sequence[int],
    paddings: Sequence[int],
    n_steps: int,
) -> dict[Site, list[Group]]:
    """Group the interventions of some rows by site, in order of application.

    Args:
        model: The model.
        conditions: The condition of each row.
        row_ids: Index of each row in the ledger.
        n_prompts: Number of tokens of each row's prompt.
        paddings: Number of slots before each row begins.
        n_steps: Largest number of steps.
    """
    groups: dict[Site, list[Group]] = {}
    for (layer, point, *_), entries in _arrange(conditions, row_ids).items():
        lengths = [(n_prompts[entry[0]], paddings[entry[0]]) for entry in entries]
        group = _compile(entries, lengths, n_steps, model)
        groups.setdefault(Site(point, layer), []).append(group)
    return groups


# Index of the row in the batch, its index in the call, index in the condition, intervention.
_Entry = tuple[int, int, int, Intervention]


def _arrange(
    conditions: Sequence[Condition], row_ids: Sequence[int]
) -> dict[tuple[int, str, int, type], list[_Entry]]:
    """Group interventions by layer, point, turn and operator type.

    The turn of an intervention is its rank among its condition's interventions at the same site.
    The interventions of a group thus change different values, and turns are applied in order.
    """
    groups: dict[tuple[int, str, int, type], list[_Entry]] = {}
    for row, (condition, row_id) in enumerate(zip(conditions, row_ids, strict=True)):
        turns: dict[Any, int] = {}
        for index, intervention in enumerate(condition.interventions):
            site = intervention.site
            turn = turns.get(site, 0)
            turns[site] = turn + 1
            key = (site.layer, site.point, turn, type(intervention.operator))
            groups.setdefault(key, []).append((row, row_id, index, intervention))
    return dict(sorted(groups.items(), key=lambda item: item[0][:3]))


def _compile(
    entries: list[_Entry], lengths: list[tuple[int, int]], n_steps: int, model: LanguageModel
) -> Group:
    interventions = [entry[3] for entry in entries]
    parameters = zip(*(item.operator.parameters() for item in interventions), strict=True)
    heads = [item.site.head for item in interventions]
    n_prompts, paddings = map(np.array, zip(*lengths, strict=True))
    plans = [plan(item, int(n), n_steps) for item, n in zip(interventions, n_prompts, strict=True)]
    fixed, moving, starts = zip(*plans, strict=True)
    by_slot = np.zeros((len(entries), max(n_prompts + paddings) + n_steps))
    for target, alphas, padding in zip(by_slot, fixed, paddings, strict=True):
        target[padding : padding + len(alphas)] = alphas
    owners, device = [entry[0] for entry in entries], model.device
    return Group(
        type(interventions[0].operator),
        np.array(owners),
        torch.tensor(owners, device=device),
        None if heads[0] is None else torch.tensor(heads, device=device),
        tuple(_stack(tensors).to(device, model.dtype) for tensors in parameters),
        torch.tensor(paddings, device=device),
        by_slot,
        np.stack(moving),
        np.stack(starts) + paddings[:, None],
        [(entry[1], entry[2]) for entry in entries],
    )


def _stack(tensors: Sequence[Tensor]) -> Float[Tensor, "entry ..."]:
    """Stack tensors; pad shorter first axes with zeros at their end."""
    if all(tensor.shape == tensors[0].shape for tensor in tensors):
        return torch.stack(list(tensors))
    return torch.nn.utils.rnn.pad_sequence(list(tensors), batch_first=True)
