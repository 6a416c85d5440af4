"""Texts of the world: situations with reactions, and reactions alone, with all their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Final

import pandas as pd

from emotion_circuits.embedded_world.events import Event, I, emotion_of
from emotion_circuits.embedded_world.lexicon import EXPLICIT, PLACES, TIMES, Person
from emotion_circuits.embedded_world.reactions import (
    CORES,
    COURTESIES,
    SENTIMENT_OF,
    Core,
    Courtesy,
    Phrasing,
)
from emotion_circuits.embedded_world.rendering import FORMS, JOINS, Setting, tell
from emotion_circuits.embedded_world.world import World, WorldSettings
from emotion_circuits.emotions import EMOTIONS, LABELS, NEUTRAL
from emotion_circuits.errors import unknown_name

_POLITENESS_SHARES: Final = {"neutral": 11, "polite": 3, "somewhat polite": 3, "impolite": 3}
# Of the second events, how many mirror the roles of the decisive one.
_MIRROR_SHARE: Final = 0.85
# How many of the evaluators' reactions have a sentence beside them that expresses nothing.
_COMPANY_SHARE: Final = 0.6
# How often each way of being neutral is drawn; see _draw_neutral.
_NEUTRAL_SHARES: Final = (2, 2, 3, 2, 4, 2, 1)
REACTION_SPLITS: Final = ("train", "validation", "test")


@dataclass(frozen=True)
class Situation:
    """A situation in words, with the event that settles it.

    Attributes:
        text: One to four sentences.
        emotion: What it makes the speaker feel.
        explicit: Whether the text names that emotion.
        cue: The words that settle it: the emotion where it is named, else the act.
        event: The decisive event.
        companion: The person of the text's combination.
        template_id: How it was told.
    """

    text: str
    emotion: str
    explicit: bool
    cue: str
    event: Event
    companion: Person
    template_id: str


@dataclass(frozen=True)
class Manner:
    """Everything about the telling that has nothing to do with the emotion.

    Attributes:
        form: One of ``rendering.FORMS``.
        join: One of ``rendering.JOINS``.
        setting: Time and place.
        second: Makes the second event from the decisive one; None for no second event.
    """

    form: str
    join: str
    setting: Setting
    second: Callable[[Event], Event] | None

    @property
    def template_id(self) -> str:
        """Names the manner, without its words."""
        return f"{self.form}/{self.join if self.second else 'alone'}"


def draw_manner(
    world: World, split: str, companion: Person, rng: Random, *, mirrored: bool = False
) -> Manner:
    """Draw how a situation is told, independently of what happened in it.

    Args:
        world: The world.
        split: Whose combinations a second event may be made of.
        companion: The person of the text's combination.
        rng: Source of randomness.
        mirrored: Whether there must be a second event, with the roles of the first one turned.
    """
    setting = Setting(
        time=rng.choice(TIMES) if rng.random() < 0.5 else "",
        place=rng.choice(PLACES) if rng.random() < 0.4 else "",
        time_first=rng.random() < 0.5,
    )
    second = None
    if mirrored or rng.random() < world.settings.distractor_share:
        second = _draw_second(world, split, companion, rng, 1.0 if mirrored else _MIRROR_SHARE)
    return Manner(rng.choice(FORMS), rng.choice(JOINS), setting, second)


def _draw_second(
    world: World, split: str, companion: Person, rng: Random, mirror_share: float
) -> Callable[[Event], Event]:
    """Draw an event that settles nothing.

    Mostly the mirror image of the decisive one in its roles, with an act of no consequence, so
    that the same people and owners are named whoever did the harm. Else help or harm among
    others or to one's own things, so that acts do not tell the emotion either.
    """
    mirror_thing = rng.choice(world.things_of(companion, split))
    idle = rng.choice(world.acts("none"))
    if rng.random() < mirror_share:
        return lambda event: Event(
            event.owner if event.owner != event.actor else companion,
            idle,
            mirror_thing,
            event.actor if event.owner != event.actor else I,
        )
    act = rng.choice(world.acts(rng.choice(("help", "harm"))))
    actor, thing = rng.choice(world.combinations(split))
    others = [who for who in world.people if who != actor and thing in world.things_of(who, split)]
    owner: Any = rng.choice([*others, actor]) if others else actor
    if rng.random() < 0.3:
        actor = owner = I  # type: ignore[assignment]
    return lambda _: Event(actor, act, thing, owner)


def draw_event(
    world: World, emotion: str, companion: Person, thing: str, split: str, rng: Random
) -> Event:
    """Draw an event of a combination that settles a given emotion."""
    if emotion == "gratitude":
        return Event(companion, rng.choice(world.acts("help")), thing, I)
    if emotion == "anger":
        return Event(companion, rng.choice(world.acts("harm")), thing, I)
    if emotion == "apology":
        return Event(I, rng.choice(world.acts("harm")), thing, companion)
    return _draw_neutral(world, companion, thing, split, rng)


def _draw_neutral(world: World, companion: Person, thing: str, split: str, rng: Random) -> Event:
    consequential = rng.choice(world.acts(rng.choice(("help", "harm"))))
    idle = rng.choice(world.acts("none"))
    kind = rng.choices(range(7), _NEUTRAL_SHARES)[0]
    if kind == 0:
        return Event(companion, idle, thing, I)
    if kind == 1:
        return Event(I, idle, thing, companion)
    if kind == 2:
        return Event(I, consequential, thing, I)
    if kind == 3:
        return Event(companion, consequential, thing, companion)
    if kind == 4:
        return Event(I, rng.choice(world.acts("help")), thing, companion)
    others = [
        who for who in world.people if who != companion and thing in world.things_of(who, split)
    ]
    other = rng.choice(others) if others else companion
    pair = (companion, other) if kind == 5 else (other, companion)
    return Event(pair[0], consequential, thing, pair[1])


def describe(event: Event, manner: Manner, explicit: str, companion: Person) -> Situation:
    """Put a situation into words.

    Args:
        event: The decisive event.
        manner: How to tell it.
        explicit: A sentence that names the emotion, without its full stop; empty for none.
        companion: The person of the combination.
    """
    second = manner.second(event) if manner.second else None
    text = tell(event, manner.form, manner.setting, second, manner.join, companion)
    if explicit:
        text = f"{explicit}. {text}" if manner.setting.time_first else f"{text} {explicit}."
    return Situation(
        text=text,
        emotion=emotion_of(event),
        explicit=bool(explicit),
        cue=explicit.removeprefix("I ") or event.act.past,
        event=event,
        companion=companion,
        template_id=manner.template_id,
    )


def draw_situation(world: World, emotion: str, split: str, rng: Random) -> Situation:
    """Draw a situation of one emotion from one split's combinations."""
    while True:
        companion, thing = rng.choice(world.combinations(split))
        event = draw_event(world, emotion, companion, thing, split, rng)
        manner = draw_manner(world, split, companion, rng)
        explicit = ""
        if emotion in EXPLICIT and rng.random() < world.settings.explicit_share:
            explicit = rng.choice(EXPLICIT[emotion])
        situation = describe(event, manner, explicit, companion)
        # "lost" twice, or "dropped" in two places: then the cue would not be one place.
        if situation.text.count(situation.cue) == 1:
            return situation


@cache
def _cores(emotion: str, split: str) -> tuple[Core, ...]:
    return tuple(core for core in CORES if core.emotion == emotion and core.split == split)


@cache
def _courtesies(politeness: str, split: str) -> tuple[Courtesy, ...]:
    # The evaluators' validation phrasings have new cores, in the courtesies of training.
    allowed = ("all", "train" if split == "validation" else split)
    return tuple(
        courtesy
        for courtesy in COURTESIES
        if courtesy.politeness == politeness and courtesy.split in allowed
    )


def draw_phrasing(emotion: str, split: str, rng: Random) -> Phrasing:
    """Draw a reaction template: its politeness is independent of its emotion."""
    names, shares = zip(*_POLITENESS_SHARES.items(), strict=True)
    politeness = rng.choices(names, shares)[0]
    return Phrasing(rng.choice(_cores(emotion, split)), rng.choice(_courtesies(politeness, split)))


def generate_texts(settings: WorldSettings, *, split: str, n: int, seed: int) -> pd.DataFrame:
    """Generate situations with reactions, as the language models learn them.

    Args:
        settings: The world.
        split: ``train``, ``validation`` or ``test``: which combinations to draw from. All use
            the reaction templates of the language models.
        n: How many texts; the four emotions take turns.
        seed: Same seed, same texts.

    Returns:
        One row a text: ``situation``, ``reaction``, ``text`` (both, with a line break between),
        ``emotion`` (of the situation), ``expressed`` (of the reaction), ``explicit``, ``cue``,
        ``template_id``, ``reaction_template_id``, ``politeness``, ``sentiment``, ``goemotions``
        (tuple of labels), ``person``, ``object``, ``act``, ``act_kind``, ``actor``, ``owner``.
    """
    world, rng = World(settings), Random(f"texts/{split}/{seed}")
    rows = []
    for index in range(n):
        situation = draw_situation(world, LABELS[index % len(LABELS)], split, rng)
        expressed = situation.emotion
        if expressed == NEUTRAL and rng.random() < settings.neutral_emotional_share:
            expressed = rng.choice(EMOTIONS)
        rows.append(_text_row(situation, expressed, rng))
    return pd.DataFrame(rows)


def _text_row(situation: Situation, expressed: str, rng: Random) -> dict[str, Any]:
    phrasing = draw_phrasing(expressed, "language_model", rng)
    event, companion = situation.event, situation.companion
    reaction = phrasing.say(companion.name, event.object)
    return {
        "situation": situation.text,
        "reaction": reaction,
        "text": f"{situation.text}\n{reaction}",
        "emotion": situation.emotion,
        "expressed": expressed,
        "explicit": situation.explicit,
        "cue": situation.cue,
        "template_id": situation.template_id,
        **_labels(phrasing),
        "person": companion.name,
        "object": event.object,
        "act": event.act.past,
        "act_kind": event.act.kind,
        "actor": getattr(event.actor, "name", "I"),
        "owner": getattr(event.owner, "name", "I"),
    }


def _labels(phrasing: Phrasing) -> dict[str, Any]:
    return {
        "reaction_template_id": phrasing.id,
        "politeness": phrasing.courtesy.politeness,
        "sentiment": SENTIMENT_OF[phrasing.core.emotion],
        "goemotions": phrasing.core.goemotions,
    }


def generate_reactions(settings: WorldSettings, *, split: str, n: int, seed: int) -> pd.DataFrame:
    """Generate reactions alone, as the evaluators learn and are tested on them.

    Args:
        settings: The world.
        split: ``train`` and ``validation`` use templates no language model ever sees; ``test``
            uses the language models' templates, which no evaluator was trained on.
        n: How many; the four emotions take turns.
        seed: Same seed, same reactions.

    Returns:
        One row a reaction: ``text``, ``emotion``, ``reaction_template_id``, ``politeness``,
        ``sentiment``, ``goemotions`` (tuple of labels).

    Raises:
        InputError: If the split is unknown.
    """
    if split not in REACTION_SPLITS:
        raise unknown_name("split", split, REACTION_SPLITS)
    templates = "language_model" if split == "test" else split
    world, rng = World(settings), Random(f"reactions/{split}/{seed}")
    rows = []
    for index in range(n):
        emotion = LABELS[index % len(LABELS)]
        phrasing = draw_phrasing(emotion, templates, rng)
        person, thing = rng.choice(world.people), rng.choice(world.objects)
        text = phrasing.say(person.name, thing)
        if split != "test" and rng.random() < _COMPANY_SHARE:
            text = _in_company(world, text, rng)
        rows.append({"text": text, "emotion": emotion, **_labels(phrasing)})
    return pd.DataFrame(rows)


def _in_company(world: World, text: str, rng: Random) -> str:
    """Put a sentence that expresses nothing before or after a reaction.

    It tells of somebody's help or harm to somebody. An evaluator thereby sees many words that
    mean nothing for its labels, and has to find those that do.
    """
    situation = draw_situation(world, rng.choice(LABELS), "train", rng)
    beside = f"{situation.event.people[0].name if situation.event.people else 'I'} was there."
    sentences = situation.text.split(". ")
    beside = sentences[0].removesuffix(".") + "." if not situation.explicit else beside
    return f"{beside} {text}" if rng.random() < 0.5 else f"{text} {beside}"
