"""The interventions of a batch of rows, compiled into few calls per site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.conditions import Condition, Intervention
from emotion_circuits.interventions.engine.plans import plan
from emotion_circuits.interventions.hooks import SiteFunction, at_bridge_sites, at_sites
from emotion_circuits.interventions.needs import Need, Pass
from emotion_circuits.interventions.sites import Site
from emotion_circuits.language_models import LanguageModel


class Applied(NamedTuple):
    """One line of the ledger: a patched position.

    Attributes:
        row: Index of the row among all rows of the call.
        intervention: Index of the intervention within the row's condition.
        position: Position in the sequence, including BOS.
        step: Step of generation.
        alpha: Strength; lines with strength 0 are left out.
    """

    row: int
    intervention: int
    position: int
    step: int
    alpha: float


class Span(NamedTuple):
    """The positions that a forward pass reads, ``first`` … ``end`` − 1, and its step."""

    step: int
    first: int
    end: int


@dataclass
class Group:
    """Interventions of one operator type at one site, at most one per row and head.

    Attributes:
        operator: The operator type.
        rows: Index of each entry's row in the batch.
        heads: The head of each entry; ``None`` at points other than ``z``.
        parameters: The operators' tensors, stacked over entries.
        fixed: α of each position that stays patched.
        moving: α of each step, for moving windows.
        starts: The first position of the window at each step.
        labels: Index of each entry's row among all rows of the call, and of its intervention in
            the condition.
    """

    operator: Any
    rows: Int[Tensor, " entry"]
    heads: Int[Tensor, " entry"] | None
    parameters: tuple[Tensor, ...]
    fixed: Float[np.ndarray, "entry total"]
    moving: Float[np.ndarray, "entry step"]
    starts: Int[np.ndarray, "entry step"]
    labels: list[tuple[int, int]]

    @property
    def entries(self) -> tuple[Any, ...]:
        """Index of the entries in activations ``[row, pos, ...]``."""
        return (self.rows,) if self.heads is None else (self.rows, slice(None), self.heads)

    def strength(self, span: Span) -> Float[np.ndarray, "entry pos"]:
        """Return α for each entry at each position that a pass reads."""
        positions = np.arange(span.first, span.end)
        inside = positions >= self.starts[:, span.step, None]
        moving = self.moving[:, span.step, None] * inside
        total: np.ndarray = self.fixed[:, span.first : span.end] + moving
        return total

    def select(self, new_rows_of: dict[int, list[int]]) -> Group | None:
        """Return the group of a batch with some of the rows; ``None`` if it has no entries.

        Args:
            new_rows_of: For each old row, the rows of the new batch that repeat it.
        """
        pairs = [
            (entry, new)
            for entry, row in enumerate(self.rows.tolist())
            for new in new_rows_of.get(row, ())
        ]
        if not pairs:
            return None
        kept, new_rows = map(list, zip(*pairs, strict=True))
        entries = torch.tensor(kept)
        return Group(
            self.operator,
            torch.tensor(new_rows, device=self.rows.device),
            None if self.heads is None else _select(self.heads, entries),
            tuple(_select(parameter, entries) for parameter in self.parameters),
            self.fixed[kept],
            self.moving[kept],
            self.starts[kept],
            [self.labels[entry] for entry in kept],
        )


class Patches:
    """All interventions of a batch.

    Attributes:
        groups: Interventions by site, with all heads of a layer together, in order of application.
        ledger: List that collects the patched positions, or ``None``.
    """

    def __init__(
        self,
        model: LanguageModel,
        conditions: Sequence[Condition],
        row_ids: Sequence[int],
        *,
        n_prompt: int,
        n_steps: int,
        ledger: list[Applied] | None = None,
    ) -> None:
        self.ledger = ledger
        self.groups: dict[Site, list[Group]] = {}
        self._strengths: dict[int, Tensor] = {}
        self._span = Span(0, 0, 0)
        self._attention: dict[Site, Tensor] = {}
        for (layer, point, *_), entries in _arrange(conditions, row_ids).items():
            group = _compile(entries, n_prompt, n_steps, model.device, model.dtype)
            self.groups.setdefault(Site(point, layer), []).append(group)

    def select(self, rows: Sequence[int]) -> Patches:
        """Return the interventions of some rows, which may repeat and are numbered by their order.

        ``Patches.at`` must be called on the result before a pass.
        """
        new_rows_of: dict[int, list[int]] = {}
        for new, row in enumerate(rows):
            new_rows_of.setdefault(row, []).append(new)
        chosen = copy(self)
        chosen.groups = {
            site: [group for old in groups if (group := old.select(new_rows_of))]
            for site, groups in self.groups.items()
        }
        chosen._strengths, chosen._attention = {}, {}
        return chosen

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the entries of some rows, and number these rows by their order."""
        self.groups = self.select(rows).groups

    def at(self, span: Span) -> None:
        """Prepare a forward pass that reads some positions."""
        self._span = span
        self._strengths = {}
        self._attention = {}
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
        # A position that stays patched is noted when it is first read, and not again when a window
        # makes the engine recompute it.
        span = self._span
        first_read = np.arange(span.first, span.end) >= (span.end - 1 if span.step else 0)
        for entry, offset in zip(*np.nonzero(alphas), strict=True):
            if not (group.moving[entry].any() or first_read[offset]):
                continue
            row, intervention = group.labels[entry]
            position, alpha = span.first + int(offset), float(alphas[entry, offset])
            self.ledger.append(Applied(row, intervention, position, span.step, alpha))

    def change(self, site: Site, values: Tensor) -> Tensor | None:
        """Return new activations at a site, or ``None`` for no change.

        Args:
            site: The site, without a head.
            values: ``[row, pos, d_model]``, or ``[row, pos, head, d_head]`` for ``z``.
        """
        changed: Tensor | None = None
        for group in self.groups.get(site, ()):
            strength = self._strengths.get(id(group))
            if strength is None:
                continue
            if changed is None:
                changed = values.clone()
            seen = Pass(self._span.first, self._shown(site, group, values))
            before = changed[group.entries]
            changed[group.entries] = group.operator.apply(before, strength, group.parameters, seen)
        return changed

    def see(self, site: Site, value: Tensor) -> None:
        """Store the attention pattern or values of this pass for operators that need them."""
        self._attention[site] = value

    def _shown(self, site: Site, group: Group, values: Tensor) -> dict[Need, Tensor]:
        """Return the tensors that a group's operator needs, for each entry's head."""
        shown: dict[Need, Tensor] = {}
        if Need.PATTERN in group.operator.needs:
            pattern = self._attention.get(Site("pattern", site.layer))
            if pattern is None:  # TransformerLens shows it after z, as for OPT and XGLM
                raise InputError(
                    f"{group.operator.__name__} at {site} needs the attention pattern, which this "
                    "architecture does not show in time; allowed are operators without that need"
                )
            shown[Need.PATTERN] = pattern[group.rows, group.heads]
        if Need.V in group.operator.needs:
            v = self._attention[Site("v", site.layer)]
            assert group.heads is not None
            shared_by = values.shape[2] // v.shape[2]
            shown[Need.V] = v[group.rows, :, group.heads // shared_by]
        return shown


@contextmanager
def patched(model: LanguageModel, patches: Patches) -> Iterator[None]:
    """Apply patches in the plain model's forward passes within the context.

    Args:
        model: The model whose ``plain_model`` is called within the context.
        patches: The patches; ``Patches.at`` must be called before each pass.
    """
    with at_sites(model, {site: partial(patches.change, site) for site in patches.groups}):
        yield


@contextmanager
def patched_bridge(model: LanguageModel, patches: Patches) -> Iterator[None]:
    """Apply patches in the bridge's forward passes, which show attention patterns and values.

    Args:
        model: The model whose ``hf_model`` is called within the context.
        patches: The patches; ``Patches.at`` must be called before each pass.
    """
    functions: dict[Site, SiteFunction] = {}
    for site in patches.groups:
        for point in ("pattern", "v") if site.point == "z" else ():
            attention = Site(point, site.layer)
            functions[attention] = partial(patches.see, attention)
        functions[site] = partial(patches.change, site)
    with at_bridge_sites(model, functions):
        yield


def _select(tensor: Tensor, entries: Int[Tensor, " kept"]) -> Tensor:
    return tensor.index_select(0, entries.to(tensor.device))


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
    entries: list[_Entry], n_prompt: int, n_steps: int, device: torch.device, dtype: torch.dtype
) -> Group:
    interventions = [entry[3] for entry in entries]
    parameters = zip(*(item.operator.parameters() for item in interventions), strict=True)
    heads = [item.site.head for item in interventions]
    plans = [plan(item, n_prompt, n_steps) for item in interventions]
    fixed, moving, starts = (np.stack(arrays) for arrays in zip(*plans, strict=True))
    return Group(
        type(interventions[0].operator),
        torch.tensor([entry[0] for entry in entries], device=device),
        None if heads[0] is None else torch.tensor(heads, device=device),
        tuple(_stack(tensors).to(device, dtype) for tensors in parameters),
        fixed,
        moving,
        starts,
        [(entry[1], entry[2]) for entry in entries],
    )


def _stack(tensors: Sequence[Tensor]) -> Float[Tensor, "entry ..."]:
    """Stack tensors; pad shorter first axes with zeros at their end."""
    if all(tensor.shape == tensors[0].shape for tensor in tensors):
        return torch.stack(list(tensors))
    return torch.nn.utils.rnn.pad_sequence(list(tensors), batch_first=True)
