"""The interventions of a batch of rows, compiled into few calls per site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.conditions import Condition
from emotion_circuits.interventions.engine.groups import Group, Span, compile_groups
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
        n_prompts: Sequence[int],
        n_steps: int,
        paddings: Sequence[int] | None = None,
        ledger: list[Applied] | None = None,
    ) -> None:
        """Compile the interventions of some rows.

        Args:
            model: The model.
            conditions: The condition of each row.
            row_ids: Index of each row in the ledger.
            n_prompts: Number of tokens of each row's prompt.
            n_steps: Largest number of steps.
            paddings: Number of slots before each row begins; ``None`` if all prompts end at the
                last slot of the longest.
            ledger: List to which a line for each patched position is added.
        """
        self.ledger = ledger
        if paddings is None:
            paddings = [max(n_prompts) - n_prompt for n_prompt in n_prompts]
        lengths = {"n_prompts": n_prompts, "paddings": paddings}
        self.groups = compile_groups(model, conditions, row_ids, **lengths, n_steps=n_steps)
        self._strengths: dict[int, Tensor] = {}
        self._span = Span.of_prompts(len(conditions), 0, 0)
        self._attention: dict[Site, Tensor] = {}

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
        """Prepare a forward pass that reads some slots."""
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

    def _note(self, group: Group, alphas: Float[np.ndarray, "entry slot"]) -> None:
        if self.ledger is None:
            return
        # A position that stays patched is noted when it is first read, and not again when a window
        # makes the engine recompute it.
        span = self._span
        slots = np.arange(span.first, span.end)
        paddings = group.paddings.tolist()
        for entry, offset in zip(*np.nonzero(alphas), strict=True):
            step = int(span.steps[group.owners[entry]])
            first_read = slots[offset] >= (span.end - 1 if step else 0)
            if not (group.moving[entry].any() or first_read):
                continue
            row, intervention = group.labels[entry]
            position = span.first + int(offset) - paddings[entry]
            alpha = float(alphas[entry, offset])
            self.ledger.append(Applied(row, intervention, position, step, alpha))

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
            seen = Pass(self._span.first - group.paddings, self._shown(site, group, values))
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
