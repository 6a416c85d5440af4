"""Plans of experiments on sets of heads: ablation, and patching between the prompts of a pair."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.experiments.head_conditions import (
    ablate_heads,
    aligned_positions,
    patch_heads,
)
from emotion_circuits.experiments.head_sets import HeadSet
from emotion_circuits.experiments.heads import Head, format_heads
from emotion_circuits.experiments.outcomes import BASELINE_KIND
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import BASELINE, Condition, Row, capture_heads
from emotion_circuits.seeds import rng_for

PerHead = Float[Tensor, "layer pos head d_head"]
Line = tuple[Row, dict[str, Any]]

_NOTHING = {"head_set": "", "heads": "", "ablation": "", "direction": "", "mode": "", "emotion": ""}


def baseline_lines(prompts: PairedPrompts) -> Iterator[Line]:
    """Plan every prompt without an intervention."""
    for index, ids in enumerate(prompts.ids):
        where = {"kind": BASELINE_KIND, **_NOTHING, "source_index": -1}
        yield Row(ids, BASELINE), {**prompts.coordinates[index], **where}


class HeadPlanner:
    """Plans ablations and patches of heads from their activations on the unpatched prompts.

    Attributes:
        prompts: The prompts.
        z: Every head's output on each prompt, by the prompt's index.
        v: The values that each query head reads, by the prompt's index; empty if not needed.
    """

    def __init__(
        self, prompts: PairedPrompts, *, needs_v: bool, batch_size: int, seed: int
    ) -> None:
        """Run the prompts once.

        Args:
            prompts: The prompts.
            needs_v: Whether ``v_only`` will be planned, which needs the heads' values.
            batch_size: Prompts per forward pass.
            seed: Seed for drawing the prompts of ``resample``.
        """
        self.prompts = prompts
        self.z: dict[int, PerHead] = {}
        self.v: dict[int, PerHead] = {}
        self._seed = seed
        self._halves, self._labels = prompts.halves, prompts.labels
        self._planned: Collection[int] = range(len(prompts.ids))
        parts = ("z", "v") if needs_v else ("z",)
        for batch in capture_heads(prompts.model, prompts.ids, parts=parts, batch_size=batch_size):
            for entry, index in enumerate(batch.rows):
                assert batch.z is not None
                self.z[index] = batch.z[entry]
                if batch.v is not None:
                    self.v[index] = batch.v[entry]

    def only(self, pair_ids: Collection[str]) -> HeadPlanner:
        """Return a planner for the prompts of some scenarios.

        Ablations still use means over, and prompts from, all scenarios.
        """
        planner = copy(self)
        names = self.prompts.table["pair_id"]
        planner._planned = np.flatnonzero(names.isin(list(pair_ids))).tolist()
        return planner

    def ablations(self, sets: Sequence[HeadSet], kinds: Sequence[str]) -> Iterator[Line]:
        """Plan the ablation of each set on every prompt.

        Args:
            sets: Sets with heads for both halves.
            kinds: ``zero``; ``mean`` over the prompts of the other half; ``resample``: the
                outputs on a prompt of the other half and of another label.
        """
        shape = next(iter(self.z.values()))[:, 0].shape
        means = self._means if "mean" in kinds else {}
        zeros = torch.zeros(shape)
        for heads in sets:
            for kind in kinds:
                for index in self._planned:
                    half = self._halves[index]
                    chosen, source = heads.of_half[half], -1
                    if kind == "resample":
                        source = self._other_prompt(index)
                        condition = self._patch("resample", chosen, index, source, "pattern_v")
                    else:
                        values = means[half] if kind == "mean" else zeros
                        condition = ablate_heads(kind, chosen, values)
                    where = {"kind": "ablation", "ablation": kind, "source_index": source}
                    yield self._line(index, heads.name, chosen, condition, where)

    def patches(
        self, sets: Sequence[HeadSet], directions: Sequence[str], modes: Sequence[str]
    ) -> Iterator[Line]:
        """Plan patching between the two prompts of each pair.

        Args:
            sets: Sets of heads; a set without heads for a half skips the pairs of that half.
            directions: ``emotion_to_neutral`` patches activations of the emotional prompt into
                the run on the neutral prompt, ``neutral_to_emotion`` the reverse.
            modes: ``pattern_v`` (the heads' output) or ``v_only`` (the values they read).
        """
        planned = set(self._planned)
        for emotion in self.prompts.emotions.names:
            pairs = [pair for pair in self.prompts.pairs(emotion) if pair[0] in planned]
            for direction in directions if pairs else ():
                for mode in modes:
                    where = {"kind": "patch", "direction": direction, "mode": mode}
                    for heads in sets:
                        yield from self._between(heads, pairs, {**where, "emotion": emotion})

    @cached_property
    def _means(self) -> dict[str, Float[Tensor, "layer head d_head"]]:
        """For each half, the heads' mean outputs over the prompts of the other half."""
        return self.prompts.mean_outputs(self.z)

    def _between(
        self, heads: HeadSet, pairs: list[tuple[int, int]], where: Mapping[str, Any]
    ) -> Iterator[Line]:
        for emotional, neutral in pairs:
            chosen = heads.of_half.get(self._halves[emotional])
            if chosen is None:
                continue
            to_neutral = where["direction"] == "emotion_to_neutral"
            index, source = (neutral, emotional) if to_neutral else (emotional, neutral)
            name = f"{where['direction']} {where['mode']}"
            condition = self._patch(name, chosen, index, source, where["mode"])
            yield self._line(
                index, heads.name, chosen, condition, {**where, "source_index": source}
            )

    def _line(
        self,
        index: int,
        head_set: str,
        heads: tuple[Head, ...],
        condition: Condition,
        where: Mapping[str, Any],
    ) -> Line:
        what = {**_NOTHING, "head_set": head_set, "heads": format_heads(heads), **where}
        row = Row(self.prompts.ids[index], condition)
        return row, {**self.prompts.coordinates[index], **what}

    def _patch(
        self, name: str, heads: tuple[Head, ...], index: int, source: int, mode: str
    ) -> Condition:
        lengths = [len(self.prompts.ids[prompt]) for prompt in (index, source)]
        return patch_heads(
            name,
            heads,
            (self.v if mode == "v_only" else self.z)[source],
            mode=mode,
            n_prompt=lengths[0],
            n_aligned=aligned_positions(*lengths, n_special=self.prompts.n_special),
        )

    def _other_prompt(self, index: int) -> int:
        """Draw a prompt of the other half and of another label.

        A prompt of the same label would restore the emotion that the ablation should remove. The
        prompt is at least as long as the ablated one, or else as long as any.
        """
        halves, labels = np.array(self._halves), np.array(self._labels)
        different = (halves != halves[index]) & (labels != labels[index])
        others = np.flatnonzero(different).tolist()
        assert others, "each pair has its neutral prompt and at least one emotion's"
        lengths = {other: len(self.prompts.ids[other]) for other in others}
        enough = min(len(self.prompts.ids[index]), max(lengths.values()))
        covering = [other for other in others if lengths[other] >= enough]
        # The prompt names the stream, so that the draw does not depend on earlier draws.
        rng = rng_for(self._seed, "resample", self.prompts.coordinates[index]["prompt"])
        return covering[int(rng.integers(len(covering)))]
