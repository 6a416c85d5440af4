"""The table of everything that is to be generated: prompts, sources, conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits import (
    HALVES,
    Head,
    ablate_heads,
    aligned_positions,
    mean_outputs,
    pair_rows,
    patch_heads,
)
from emotion_circuits.emotions import EMOTIONS
from emotion_circuits.interventions import Condition, capture_heads
from emotion_circuits.pipelines.head_patching.head_sets import HeadSet
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.pipelines.head_prompts import HeadPrompts

PerHead = Float[Tensor, "layer pos head d_head"]


@dataclass
class Plan:
    """One combination: a set of heads, changed in one way, on some prompts.

    Attributes:
        heads: The set.
        ablation: Kind of ablation, or empty.
        direction: Of patching, or empty.
        mode: Of patching, or empty.
        emotion: Of patching, or empty.
        rows: Prompts that are changed.
        sources: For each the prompt whose activations are put in, or -1.
        conditions: For each what is done.
    """

    heads: HeadSet
    ablation: str = ""
    direction: str = ""
    mode: str = ""
    emotion: str = ""
    rows: list[int] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)


class Planner:
    """Builds plans from what the heads do on the prompts as they are."""

    def __init__(self, data: HeadPrompts, settings: HeadPatchingSettings) -> None:
        self.data = data
        self.settings = settings
        needs_v = "v_only" in settings.modes and bool(settings.directions)
        self.z: dict[int, PerHead] = {}
        self.v: dict[int, PerHead] = {}
        for batch in capture_heads(
            data.model,
            data.ids,
            parts=("z", "v") if needs_v else ("z",),
            batch_size=settings.batch_size,
        ):
            for place, row in enumerate(batch.rows):
                assert batch.z is not None
                self.z[row] = batch.z[place]
                if batch.v is not None:
                    self.v[row] = batch.v[place]
        self._halves = data.table["half"].tolist()

    def ablations(self, sets: list[HeadSet]) -> Iterator[Plan]:
        """Plan the ablation of each set that is no single head, on every prompt."""
        labels = dict(enumerate(self.data.table["emotion"]))
        shape = next(iter(self.z.values()))[:, 0].shape
        values: dict[tuple[str, str], Tensor] = {}
        for half, other in zip(HALVES, reversed(HALVES), strict=True):
            others = {row: self.z[row] for row in self.data.rows_of(other)}
            values["zero", half] = torch.zeros(shape)
            values["mean", half] = mean_outputs(others, labels, n_special=self.data.n_special)
        for heads in sets:
            for kind in self.settings.ablations if heads.kind != "single" else ():
                plan = Plan(heads, ablation=kind)
                for row, half in enumerate(self._halves):
                    chosen = heads.of_half[half]
                    source = -1
                    if kind == "resample":
                        source = self._other_prompt(row)
                        condition = self._patch("resample", chosen, row, source, "pattern_v")
                    else:
                        condition = ablate_heads(kind, chosen, values[kind, half])
                    plan.rows.append(row)
                    plan.sources.append(source)
                    plan.conditions.append(condition)
                yield plan

    def patches(self, sets: list[HeadSet]) -> Iterator[Plan]:
        """Plan patching between the two prompts of each pair."""
        for emotion in EMOTIONS:
            pairs = pair_rows(self.data.table, emotion)
            for direction in self.settings.directions if pairs else ():
                for mode in self.settings.modes:
                    for heads in sets:
                        yield self._between(heads, emotion, direction, mode, pairs)

    def _between(
        self,
        heads: HeadSet,
        emotion: str,
        direction: str,
        mode: str,
        pairs: list[tuple[int, int]],
    ) -> Plan:
        plan = Plan(heads, direction=direction, mode=mode, emotion=emotion)
        for ours, neutral in pairs:
            chosen = heads.of_half.get(self._halves[ours])
            if chosen is None:
                continue
            to_neutral = direction == "emotion_to_neutral"
            row, source = (neutral, ours) if to_neutral else (ours, neutral)
            plan.rows.append(row)
            plan.sources.append(source)
            plan.conditions.append(self._patch(f"{direction} {mode}", chosen, row, source, mode))
        return plan

    def _patch(
        self, name: str, heads: tuple[Head, ...], row: int, source: int, mode: str
    ) -> Condition:
        lengths = [len(self.data.ids[place]) for place in (row, source)]
        return patch_heads(
            name,
            heads,
            (self.v if mode == "v_only" else self.z)[source],
            mode=mode,
            n_prompt=lengths[0],
            n_aligned=aligned_positions(*lengths, n_special=self.data.n_special),
        )

    def _other_prompt(self, row: int) -> int:
        """Draw a prompt of the other half and of another label.

        A prompt of the same label brings along what the ablation is to take away. Of those left,
        one that covers the whole prompt, if there is any.
        """
        table = self.data.table
        label = table["emotion"].iloc[row]
        different = (table["half"] != self._halves[row]) & (table["emotion"] != label)
        others = np.flatnonzero(different).tolist()
        assert others, "each pair has its neutral prompt and at least one emotion's"
        lengths = {place: len(self.data.ids[place]) for place in others}
        enough = min(len(self.data.ids[row]), max(lengths.values()))
        covering = [place for place in others if lengths[place] >= enough]
        # Seeded by the row: what is drawn does not depend on what was drawn before.
        rng = np.random.default_rng([self.settings.seed, row])
        return covering[int(rng.integers(len(covering)))]
