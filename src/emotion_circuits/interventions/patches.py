"""The interventions of one batch of rows, compiled so that each site is changed in a few calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from emotion_circuits.interventions.conditions import Condition, Intervention
from emotion_circuits.interventions.operators import rows_of, stack
from emotion_circuits.interventions.value_patching import ReplaceV, rewrite_output


class Applied(NamedTuple):
    """One line of the ledger: what was patched.

    Attributes:
        row: Index among the rows that were asked for.
        intervention: Index within the row's condition.
        position: In the sequence, BOS at 0 where there is one.
        step: Of generation.
        alpha: Strength; lines of strength 0 are left out.
    """

    row: int
    intervention: int
    position: int
    step: int
    alpha: float


class Span(NamedTuple):
    """Which positions a forward pass reads: ``first`` … ``end`` − 1, at a step."""

    step: int
    first: int
    end: int


@dataclass
class Group:
    """Interventions of one operator type at one layer and point, at most one a row and head.

    Attributes:
        operator: The type of all of them.
        rows: The row of each entry in the batch.
        heads: The head of each entry; None away from heads.
        parameters: Stacked over entries.
        fixed: α of positions that are patched for good.
        moving: α of each step, for moving windows.
        starts: The first position of the window at each step.
        labels: For each entry its row among all rows asked for, and its index in the condition.
    """

    operator: Any
    rows: Int[Tensor, " entry"]
    heads: Int[Tensor, " entry"] | None
    parameters: tuple[Tensor, ...]
    fixed: Float[np.ndarray, "entry total"]
    moving: Float[np.ndarray, "entry step"]
    starts: Int[np.ndarray, "entry step"]
    labels: list[tuple[int, int]]

    def strength(self, span: Span) -> Float[np.ndarray, "entry pos"]:
        """Give α of each entry at each position a pass reads."""
        positions = np.arange(span.first, span.end)
        inside = positions >= self.starts[:, span.step, None]
        moving = self.moving[:, span.step, None] * inside
        total: np.ndarray = self.fixed[:, span.first : span.end] + moving
        return total

    def keep(self, new_row_of: dict[int, int]) -> Group | None:
        """Drop the entries of rows that left the batch; None if nothing is left."""
        old = self.rows.tolist()
        kept = [entry for entry, row in enumerate(old) if row in new_row_of]
        if not kept:
            return None
        entries = torch.tensor(kept)
        return Group(
            self.operator,
            torch.tensor([new_row_of[old[entry]] for entry in kept], device=self.rows.device),
            None if self.heads is None else rows_of(self.heads, entries),
            tuple(rows_of(parameter, entries) for parameter in self.parameters),
            self.fixed[kept],
            self.moving[kept],
            self.starts[kept],
            [self.labels[entry] for entry in kept],
        )


class Patches:
    """All interventions of a batch.

    Attributes:
        groups: By layer and point, in the order they are applied.
        ledger: Collects what was applied, if it is wanted.
    """

    def __init__(
        self,
        conditions: Sequence[Condition],
        row_ids: Sequence[int],
        *,
        n_prompt: int,
        n_steps: int,
        device: torch.device,
        dtype: torch.dtype,
        ledger: list[Applied] | None = None,
    ) -> None:
        self.ledger = ledger
        self.groups: dict[tuple[int, str], list[Group]] = {}
        self._strengths: dict[int, Tensor] = {}
        self._span = Span(0, 0, 0)
        self._scratch: dict[tuple[int, str], Tensor] = {}
        for key, entries in _arrange(conditions, row_ids).items():
            layer, point = key[0], key[1]
            group = _compile(entries, n_prompt, n_steps, device, dtype)
            self.groups.setdefault((layer, point), []).append(group)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the entries of some rows, which are numbered anew in the order given."""
        new_row_of = {row: place for place, row in enumerate(rows)}
        for key, groups in list(self.groups.items()):
            kept = [group for old in groups if (group := old.keep(new_row_of))]
            self.groups[key] = kept
            if not kept:
                del self.groups[key]

    @property
    def needs_pattern(self) -> bool:
        """Whether attention patterns must be seen, which only the bridge shows."""
        return any(
            group.operator is ReplaceV for groups in self.groups.values() for group in groups
        )

    def at(self, span: Span) -> None:
        """Say which positions the next forward pass reads."""
        self._span = span
        self._strengths = {}
        for groups in self.groups.values():
            for group in groups:
                alphas = group.strength(span)
                if alphas.any():
                    parameter = group.parameters[0]
                    self._strengths[id(group)] = torch.as_tensor(
                        alphas, dtype=parameter.dtype, device=parameter.device
                    )
                    self._note(group, alphas)

    def _note(self, group: Group, alphas: Float[np.ndarray, "entry pos"]) -> None:
        if self.ledger is None:
            return
        # What is patched for good is noted when it is first read, not again where a window makes
        # the engine compute it anew.
        span = self._span
        first_read = np.arange(span.first, span.end) >= (span.end - 1 if span.step else 0)
        for entry, place in zip(*np.nonzero(alphas), strict=True):
            if not (group.moving[entry].any() or first_read[place]):
                continue
            row, intervention = group.labels[entry]
            self.ledger.append(
                Applied(
                    row,
                    intervention,
                    span.first + int(place),
                    span.step,
                    float(alphas[entry, place]),
                )
            )

    def change(self, layer: int, point: str, values: Tensor) -> Tensor | None:
        """Give new activations of a point, or None where nothing changes.

        Args:
            layer: Counted from 0.
            point: Of the site.
            values: ``[row, pos, d_model]``, or ``[row, pos, n_heads, d_head]`` for ``z``.
        """
        changed: Tensor | None = None
        for group in self.groups.get((layer, point), ()):
            strength = self._strengths.get(id(group))
            if strength is None:
                continue
            if changed is None:
                changed = values.clone()
            where = _entries(group)
            before = changed[where]
            if group.operator is ReplaceV:
                after = self._with_other_values(layer, group, strength, before)
            else:
                after = group.operator.apply(before, strength, group.parameters, self._span.first)
            changed[where] = after
        return changed

    def see(self, layer: int, what: str, value: Tensor) -> None:
        """Keep a pattern or values of this pass, for groups that need them."""
        self._scratch[layer, what] = value

    def _with_other_values(
        self, layer: int, group: Group, strength: Tensor, z: Float[Tensor, "entry pos d_head"]
    ) -> Float[Tensor, "entry pos d_head"]:
        pattern = self._scratch[layer, "pattern"]
        values = self._scratch[layer, "v"]
        assert group.heads is not None
        shared_by = pattern.shape[1] // values.shape[2]
        before = values[group.rows, :, group.heads // shared_by]
        after = ReplaceV.apply(before, strength, group.parameters, self._span.first)
        return rewrite_output(z, pattern[group.rows, group.heads], before, after)


def _entries(group: Group) -> tuple[Any, ...]:
    if group.heads is None:
        return (group.rows,)
    return (group.rows, slice(None), group.heads)


_Entry = tuple[int, int, int, Intervention]  # row in the batch, row asked for, index, intervention


def _arrange(
    conditions: Sequence[Condition], row_ids: Sequence[int]
) -> dict[tuple[int, str, int, type], list[_Entry]]:
    """Sort interventions by layer, point, turn and operator type.

    The turn of an intervention is its rank among those its condition has at the same site, so
    that within one group no two change the same values, and turns follow each other in order.
    """
    found: dict[tuple[int, str, int, type], list[_Entry]] = {}
    for row, (condition, row_id) in enumerate(zip(conditions, row_ids, strict=True)):
        turns: dict[Any, int] = {}
        for index, intervention in enumerate(condition.interventions):
            site = intervention.site
            turn = turns.get(site, 0)
            turns[site] = turn + 1
            key = (site.layer, site.point, turn, type(intervention.operator))
            found.setdefault(key, []).append((row, row_id, index, intervention))
    return dict(sorted(found.items(), key=lambda item: item[0][:3]))


def _compile(
    entries: list[_Entry], n_prompt: int, n_steps: int, device: torch.device, dtype: torch.dtype
) -> Group:
    interventions = [entry[3] for entry in entries]
    operator = type(interventions[0].operator)
    parameters = zip(*(item.operator.parameters() for item in interventions), strict=True)
    heads = [item.site.head for item in interventions]
    plans = [_plan(item, n_prompt, n_steps) for item in interventions]
    fixed, moving, starts = (np.stack(arrays) for arrays in zip(*plans, strict=True))
    return Group(
        operator,
        torch.tensor([entry[0] for entry in entries], device=device),
        None if heads[0] is None else torch.tensor(heads, device=device),
        tuple(stack(list(tensors), device, dtype) for tensors in parameters),
        fixed,
        moving,
        starts,
        [(entry[1], entry[2]) for entry in entries],
    )


def _plan(
    intervention: Intervention, n_prompt: int, n_steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give α by position, α by step, and the window's start by step, of one intervention."""
    alphas = intervention.strength.values(n_steps)
    rule = intervention.positions
    n_total = n_prompt + n_steps
    fixed = np.zeros(n_total)
    if rule.moving:
        starts = np.array([rule.first(n_prompt, step) for step in range(n_steps)])
        return fixed, alphas, starts
    covered = rule.covered(n_prompt, n_total)
    read_at = np.clip(covered - n_prompt + 1, 0, n_steps - 1)
    fixed[covered] = alphas[read_at]
    return fixed, np.zeros(n_steps), np.zeros(n_steps, dtype=int)


def planned(
    condition: Condition, *, n_prompt: int, n_steps: int
) -> Bool[np.ndarray, "intervention step position"]:
    """Say which positions a condition covers at each step: what the ledger must show.

    A position patched for good is listed at the step that reads it, and once.
    """
    shape = (len(condition.interventions), n_steps, n_prompt + n_steps)
    covered = np.zeros(shape, dtype=bool)
    for index, intervention in enumerate(condition.interventions):
        fixed, moving, starts = _plan(intervention, n_prompt, n_steps)
        for step in range(n_steps):
            end = n_prompt + step
            if intervention.positions.moving:
                covered[index, step, starts[step] : end] = moving[step] != 0
            elif step == 0:
                covered[index, step, :end] = fixed[:end] != 0
            else:
                covered[index, step, end - 1] = fixed[end - 1] != 0
    return covered
