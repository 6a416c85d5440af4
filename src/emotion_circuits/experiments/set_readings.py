"""How far sets of heads move the preference between a pair's two reactions, without generation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import product
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.experiments.head_plans import HeadPlanner
from emotion_circuits.experiments.head_sets import HeadSet
from emotion_circuits.experiments.reactions import Pair, Reactions
from emotion_circuits.interventions import Checkpoint, Row
from emotion_circuits.progress import progress_bar
from emotion_circuits.prompts import CLUSTER, PAIR_HALVES

# Sets are read in blocks of about this many rows, so that batches are full and inputs are few.
_ROWS_PER_BLOCK: Final = 1024
_TO_NEUTRAL: Final = "emotion_to_neutral"


class Combination(NamedTuple):
    """A way of changing heads, by its coordinates; those that do not apply are empty."""

    what: str
    direction: str
    mode: str
    ablation: str


class Readings(NamedTuple):
    """What sets of heads do to pairs, in nats per token.

    Attributes:
        pairs: ``emotion``, ``cluster`` and ``effect`` of each pair. The effect is the preference
            for the emotional reaction on the emotional prompt minus that on the neutral prompt.
        moved: By combination, how much of the effect each set moves. For ablation this is the
            decrease of the difference between the two prompts; for patching the change of the
            preference towards that on the other prompt.
    """

    pairs: pd.DataFrame
    moved: dict[Combination, Float[np.ndarray, "set pair"]]


def combinations(
    ablations: Sequence[str], directions: Sequence[str], modes: Sequence[str]
) -> list[Combination]:
    """List the ablations, and the directions and modes of patching."""
    patches = product(directions, modes)
    return [
        *(Combination("ablation", "", "", ablation) for ablation in ablations),
        *(Combination("patching", direction, mode, "") for direction, mode in patches),
    ]


def read_sets(
    planner: HeadPlanner,
    reactions: Reactions,
    sets: Sequence[HeadSet],
    ways: Sequence[Combination],
    checkpoint: Checkpoint | None,
    *,
    max_scenarios: int | None,
    seed: int,
) -> Readings:
    """Read the unpatched reactions to both prompts of each pair under each set and combination.

    Args:
        planner: Plans the interventions.
        reactions: The unpatched reactions.
        sets: Sets with heads for both halves.
        ways: The combinations.
        checkpoint: File that keeps finished sets of a killed run.
        max_scenarios: Largest number of scenarios to read; None for all.
        seed: Seed of the planner, which finished sets must have been read with.
    """
    prompts = reactions.prompts
    scenarios = first_scenarios(prompts.table, max_scenarios)
    pairs = [
        (emotion, pair)
        for emotion in prompts.emotions.names
        for pair in prompts.pairs(emotion)
        if prompts.table["pair_id"].iloc[pair[0]] in scenarios
    ]
    reader = _Reader(planner.only(scenarios), reactions, [pair for _, pair in pairs])
    store = _Store(reader, seed, checkpoint)
    per_block = max(1, _ROWS_PER_BLOCK // len(pairs))
    moved: dict[Combination, list[np.ndarray]] = {way: [] for way in ways}
    with progress_bar(total=len(sets), desc=f"{prompts.model.name} head ranks", unit="set") as bar:
        for start in range(0, len(sets), per_block):
            block = sets[start : start + per_block]
            for way in ways:
                moved[way] += store.read(block, way)
            bar.update(len(block))
    table = pd.DataFrame(
        {
            "emotion": [emotion for emotion, _ in pairs],
            CLUSTER: [prompts.table[CLUSTER].iloc[pair[0]] for _, pair in pairs],
            "effect": reader.before[:, 0] - reader.before[:, 1],
        }
    )
    return Readings(table, {way: np.stack(values) for way, values in moved.items()})


def first_scenarios(table: pd.DataFrame, limit: int | None) -> set[str]:
    """Return the first scenarios of the table, equally many of both halves; all without a limit."""
    names: set[str] = set()
    for number, half in enumerate(PAIR_HALVES):
        of_half = table.loc[table["half"] == half, "pair_id"].drop_duplicates().tolist()
        names.update(of_half if limit is None else of_half[: (limit + 1 - number) // 2])
    return names


class _Reader:
    """Reads blocks of sets under one combination."""

    def __init__(self, planner: HeadPlanner, reactions: Reactions, pairs: Sequence[Pair]) -> None:
        self.reactions, self.pairs = reactions, list(pairs)
        self.before = np.array([reactions.unpatched[pair] for pair in pairs])
        self._planner = planner

    def read(self, sets: Sequence[HeadSet], way: Combination) -> Float[np.ndarray, "set pair"]:
        """Return how far each set moves each pair."""
        return self._ablated(sets, way) if way.what == "ablation" else self._patched(sets, way)

    def _ablated(self, sets: Sequence[HeadSet], way: Combination) -> np.ndarray:
        rows: list[Row] = []
        for heads in sets:
            lines = self._planner.ablations([heads], [way.ablation])
            of_prompt = {where["prompt_index"]: row for row, where in lines}
            rows += [of_prompt[prompt] for pair in self.pairs for prompt in pair]
        read = [pair for pair in self.pairs for _ in range(2)] * len(sets)
        after = self.reactions.preferences(rows, read).reshape(len(sets), -1, 2)
        lost: np.ndarray = (self.before[:, 0] - self.before[:, 1]) - (after[..., 0] - after[..., 1])
        return lost

    def _patched(self, sets: Sequence[HeadSet], way: Combination) -> np.ndarray:
        to_neutral = way.direction == _TO_NEUTRAL
        rows: list[Row] = []
        for heads in sets:
            lines = self._planner.patches([heads], [way.direction], [way.mode])
            of_pair = {
                frozenset((where["prompt_index"], where["source_index"])): row
                for row, where in lines
            }
            rows += [of_pair[frozenset(pair)] for pair in self.pairs]
        after = self.reactions.preferences(rows, self.pairs * len(sets)).reshape(len(sets), -1)
        moved: np.ndarray = after - self.before[:, 1] if to_neutral else self.before[:, 0] - after
        return moved


class _Store:
    """Readings of sets, including those of a killed run."""

    def __init__(self, reader: _Reader, seed: int, checkpoint: Checkpoint | None) -> None:
        self._reader, self._checkpoint = reader, checkpoint
        self._done: dict[str, tuple[float, ...]] = {}
        self._inputs = ""
        if checkpoint is not None:
            self._done = checkpoint.open(reader.reactions.prompts.model)
            self._inputs = repr((_inputs(reader), seed))

    def read(self, sets: Sequence[HeadSet], way: Combination) -> list[np.ndarray]:
        """Return how far each set moves each pair, reading only sets that are not known."""
        digests = [self._digest(heads, way) for heads in sets]
        missing = [index for index, digest in enumerate(digests) if digest not in self._done]
        if missing:
            values = self._reader.read([sets[index] for index in missing], way)
            lines = [
                (digests[index], tuple(of_set.tolist()))
                for index, of_set in zip(missing, values, strict=True)
            ]
            if self._checkpoint is not None:
                self._checkpoint.add(*zip(*lines, strict=True))
            self._done |= dict(lines)
        return [np.array(self._done[digest]) for digest in digests]

    def _digest(self, heads: HeadSet, way: Combination) -> str:
        named = repr((self._inputs, sorted(heads.of_half.items()), way))
        return hashlib.sha256(named.encode()).hexdigest()


def _inputs(reader: _Reader) -> tuple[object, ...]:
    """Return what readings depend on, apart from the model, the heads and the combination."""
    prompts = reader.reactions.prompts
    return (
        *(prompts.ids, prompts.labels, prompts.halves),
        *(list(reader.reactions.tokens), reader.pairs),
    )
