"""Plans of joint interventions: circuits ablated, and patched between the prompts of a pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from emotion_circuits.circuits.found_circuits import FoundCircuits, NodeSet, spell
from emotion_circuits.circuits.nodes import Node
from emotion_circuits.circuits.replacements import Replacements, mean_ablated, resampled
from emotion_circuits.experiments.circuit_lines import ABLATION, PATCHING
from emotion_circuits.experiments.outcomes import BASELINE_KIND
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import BASELINE, Condition, Onward, Row
from emotion_circuits.prompts import CLUSTER, PAIR_HALVES

Line = tuple[Row, dict[str, Any]]

# What is known of a line beside its prompt; the baseline has none of it.
NO_CHANGE: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("emotion", "mode", "circuit", "nodes", "direction"), ""),
    **{"layer": None, "dose": None, "other_index": -1},
}


def unpatched_lines(prompts: PairedPrompts) -> Iterator[Line]:
    """Plan every prompt without an intervention."""
    for where, ids in zip(prompts.coordinates, prompts.ids, strict=True):
        yield Row(ids, BASELINE), {**where, "kind": BASELINE_KIND, **NO_CHANGE}


@dataclass(frozen=True)
class _Side:
    """Prompts of an emotion's pairs that are changed in one way.

    Attributes:
        what: Coordinates: ``kind`` and ``mode``.
        of_emotion: Whether the emotional prompt of each pair is changed, or the neutral one.
        replacements: The replacement of all nodes, for each pair.
        throughout: Whether generated positions are replaced too.
    """

    what: dict[str, str]
    of_emotion: bool
    replacements: Sequence[Replacements]
    throughout: bool


class JointPlanner:
    """Plans changes of sets of nodes on each emotion's pairs."""

    def __init__(self, prompts: PairedPrompts, found: FoundCircuits, *, batch_size: int) -> None:
        """Take the prompts.

        Args:
            prompts: The pairs.
            found: Which circuit a pair is tested with.
            batch_size: Prompts per forward pass when outputs are recorded.
        """
        self._prompts, self._found, self._batch_size = prompts, found, batch_size

    def lines(
        self,
        emotion: str,
        sets: Sequence[NodeSet],
        singles: Sequence[NodeSet],
        modes: Sequence[str],
        *,
        patch: bool,
    ) -> Iterator[Line]:
        """Plan an emotion's ablations and patches.

        Args:
            emotion: The emotion.
            sets: The circuit and random ones.
            singles: Single nodes, which are changed on the prompts that show the effect alone.
            modes: Ablations: ``resample`` puts the outputs on the neutral partner into the
                emotional prompt's positions, as in the search for circuits; ``mean`` puts the means
                over both labels' prompts of the other half at all positions of text, generated ones
                included, of both prompts.
            patch: Whether outputs on the emotional prompt are put into the neutral one.
        """
        for side in self._sides(emotion, modes, patch=patch):
            # On a neutral prompt, ablation only shows what it costs.
            only_cost = side.what["kind"] == ABLATION and not side.of_emotion
            for nodes in sets if only_cost else [*sets, *singles]:
                yield from self._of_set(emotion, side, nodes)

    def _sides(self, emotion: str, modes: Sequence[str], *, patch: bool) -> Iterator[_Side]:
        model, pairs = self._prompts.model, self._prompts.pairs(emotion)
        clean, partners = (
            [self._prompts.ids[i] for i in side] for side in zip(*pairs, strict=True)
        )
        for mode in modes:
            what = {"kind": ABLATION, "mode": mode}
            if mode == "resample":
                made = resampled(model, clean, partners, batch_size=self._batch_size)
                yield _Side(what, True, made, throughout=False)
                continue
            for of_emotion in (True, False):
                means = self._means(pairs, 0 if of_emotion else 1)
                yield _Side(what, of_emotion, means, throughout=True)
        if patch:
            made = resampled(model, partners, clean, batch_size=self._batch_size)
            yield _Side({"kind": PATCHING, "mode": "patch"}, False, made, throughout=False)

    def _means(self, pairs: Sequence[tuple[int, int]], changed: int) -> list[Replacements]:
        """Replace outputs on one prompt of each pair by means over the other half's prompts."""
        ids, halves = self._prompts.ids, np.array([self._prompts.halves[one] for one, _ in pairs])
        made: list[Replacements] = [Replacements({})] * len(pairs)
        for half in PAIR_HALVES:
            own = np.flatnonzero(halves == half).tolist()
            others = np.flatnonzero(halves != half).tolist()
            averaged = [ids[index] for place in others for index in pairs[place]]
            if own:
                of_half = mean_ablated(
                    self._prompts.model,
                    [ids[pairs[place][changed]] for place in own],
                    averaged,
                    batch_size=self._batch_size,
                )
                for place, one in zip(own, of_half, strict=True):
                    made[place] = one
        return made

    def _of_set(self, emotion: str, side: _Side, nodes: NodeSet) -> Iterator[Line]:
        pairs, coordinates = self._prompts.pairs(emotion), self._prompts.coordinates
        for pair, replacements in zip(pairs, side.replacements, strict=True):
            members = nodes.members.get(self._found.found_on(coordinates[pair[0]][CLUSTER]))
            if members is None:
                continue
            index, other = pair if side.of_emotion else pair[::-1]
            where = {**NO_CHANGE, **side.what, "emotion": emotion, "circuit": nodes.name}
            where |= {"nodes": spell(members), "other_index": other}
            condition = replaced(replacements, members, throughout=side.throughout)
            yield Row(self._prompts.ids[index], condition), {**coordinates[index], **where}


def replaced(
    replacements: Replacements, members: frozenset[Node], *, throughout: bool
) -> Condition:
    """Replace some nodes' outputs.

    Args:
        replacements: The replacement of each node on the prompt.
        members: The nodes.
        throughout: Whether to replace outputs at generated positions as well, as is possible with
            means, which have no position.
    """
    condition = replacements.remove(members)
    if not throughout:
        return condition
    generated = (replace(item, positions=Onward()) for item in condition.interventions)
    return replace(condition, interventions=(*condition.interventions, *generated))
