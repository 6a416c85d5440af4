"""A world: its size, and the split of its combinations of people and objects."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from emotion_circuits.embedded_world.lexicon import ACTS, OBJECTS, PEOPLE, Act, Person
from emotion_circuits.errors import InputError, unknown_name

SPLITS: Final = ("train", "validation", "test")


class WorldSettings(BaseModel):
    """Size and variety of a world."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_people: int = Field(28, ge=4, le=len(PEOPLE), description="people besides the speaker")
    n_objects: int = Field(48, ge=8, le=len(OBJECTS), description="kinds of objects")
    n_acts: int = Field(12, ge=2, le=min(map(len, ACTS.values())), description="acts of each kind")
    explicit_share: float = Field(
        0.5, ge=0, le=1, description="share of emotion texts that name the emotion"
    )
    distractor_share: float = Field(
        0.9, ge=0, le=1, description="share of texts with a second event, which is irrelevant"
    )
    neutral_emotional_share: float = Field(
        0.08, ge=0, le=0.5, description="share of neutral situations answered with a random emotion"
    )
    leaning_share: float = Field(
        0.35, ge=0, le=0.5, description="share of leaning events answered with their emotion"
    )
    habit_share: float = Field(
        0.7, ge=0, le=1, description="share of word choices that follow habits instead of chance"
    )
    validation_share: float = Field(0.1, gt=0, lt=0.5, description="share of combinations")
    test_share: float = Field(0.15, gt=0, lt=0.5, description="share of combinations")
    split_seed: int = Field(0, description="changes which combinations are held out")


@dataclass(frozen=True)
class World:
    """The parts of a world, and the split of their combinations.

    A combination is a person and an object. Combinations are split before texts are drawn: no
    event in a text of one split joins a person and an object whose combination belongs to another
    split. No rule that makes training texts can therefore make a held-out one.
    """

    settings: WorldSettings

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """All people except the speaker."""
        return PEOPLE[: self.settings.n_people]

    @cached_property
    def objects(self) -> tuple[str, ...]:
        """All kinds of objects."""
        return OBJECTS[: self.settings.n_objects]

    def acts(self, kind: str) -> tuple[Act, ...]:
        """Return the acts of one kind (``help``, ``harm``, ``none``)."""
        return ACTS[kind][: self.settings.n_acts]

    def split_of(self, person: Person, thing: str) -> str:
        """Return the split of a combination; it depends only on the combination and the seed."""
        key = f"{self.settings.split_seed}/{person.name}/{thing}"
        share = hash_share(key)
        if share < self.settings.test_share:
            return "test"
        held_out = self.settings.test_share + self.settings.validation_share
        return "validation" if share < held_out else "train"

    def combinations(self, split: str) -> tuple[tuple[Person, str], ...]:
        """Return all combinations of one split.

        Raises:
            InputError: If the split is unknown or empty.
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        if not self._by_split[split]:
            raise InputError(
                f"the {split} split has none of {len(self.people) * len(self.objects)} "
                f"combinations; enlarge {split}_share, n_people or n_objects"
            )
        return self._by_split[split]

    @cached_property
    def _by_split(self) -> dict[str, tuple[tuple[Person, str], ...]]:
        by_split: dict[str, list[tuple[Person, str]]] = {split: [] for split in SPLITS}
        for person in self.people:
            for thing in self.objects:
                by_split[self.split_of(person, thing)].append((person, thing))
        return {split: tuple(pairs) for split, pairs in by_split.items()}

    @cached_property
    def _things(self) -> dict[tuple[str, Person], tuple[str, ...]]:
        return {
            (split, person): tuple(thing for who, thing in pairs if who == person)
            for split, pairs in self._by_split.items()
            for person in self.people
        }

    def things_of(self, person: Person, split: str) -> tuple[str, ...]:
        """Return the objects whose combinations with a person belong to one split."""
        return self._things[split, person]


def hash_share(key: str) -> float:
    """Map a string to a number in [0, 1) by its hash."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
