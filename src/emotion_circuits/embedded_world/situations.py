"""Situations: a decisive event, a second event and an aftermath, rendered as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from emotion_circuits.embedded_world.aftermath import Deed, draw_aftermath
from emotion_circuits.embedded_world.events import Event, I, emotion_of
from emotion_circuits.embedded_world.lexicon import EXPLICIT, PLACES, TIMES, Person
from emotion_circuits.embedded_world.rendering import FORMS, JOINS, Setting, tell
from emotion_circuits.embedded_world.world import World

# Share of second events that mirror the roles of the decisive event.
_MIRROR_SHARE: Final = 0.85
# Weights of the kinds of neutral events; see _draw_neutral.
_NEUTRAL_SHARES: Final = (4, 4, 3, 2, 4, 2, 1)
# Probability of each number of deeds after the events.
_DEED_SHARES: Final = {1: 0.3, 2: 0.5, 3: 0.2}
# In texts that name the emotion, probability that a deed's adverb, or its ending, is a word for it.
_MARK_SHARE: Final = 0.4


@dataclass(frozen=True)
class Situation:
    """A situation as text, with its labels.

    Attributes:
        text: One to eight sentences.
        emotion: The speaker's emotion.
        explicit: Whether the text names the emotion.
        cue: The words that determine the emotion: its name in explicit texts, else the act.
        event: The decisive event.
        companion: The person of the text's combination.
        template_id: The sentence form and the join of the second event.
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
    """The parts of a text that are independent of the emotion.

    Attributes:
        form: One of ``rendering.FORMS``.
        join: One of ``rendering.JOINS``.
        setting: Time and place.
        second: Derives the second event from the decisive one; None for no second event.
        aftermath: What the speaker did afterwards.
        naming_place: Where a sentence that names the emotion is inserted: 0 at the beginning,
            1 after the events, 2 after the first deed, and so on.
    """

    form: str
    join: str
    setting: Setting
    second: Callable[[Event], Event] | None
    aftermath: tuple[Deed, ...]
    naming_place: int

    @property
    def template_id(self) -> str:
        """Sentence form and join, without time, place and aftermath."""
        return f"{self.form}/{self.join if self.second else 'alone'}"


def draw_manner(
    world: World, split: str, companion: Person, rng: Random, *, mirrored: bool = False
) -> Manner:
    """Draw the manner of a text, independently of its decisive event.

    Args:
        world: The world.
        split: Split of the combinations that a second event may use.
        companion: The person of the text's combination.
        rng: Source of randomness.
        mirrored: Whether to require a second event that swaps the roles of the decisive one.
    """
    setting = Setting(
        time=rng.choice(TIMES) if rng.random() < 0.5 else "",
        place=rng.choice(PLACES) if rng.random() < 0.4 else "",
        time_first=rng.random() < 0.5,
    )
    second = None
    if mirrored or rng.random() < world.settings.distractor_share:
        second = _draw_second(world, split, companion, rng, 1.0 if mirrored else _MIRROR_SHARE)
    n_deeds = rng.choices(*zip(*_DEED_SHARES.items(), strict=True))[0]
    naming_place = rng.randrange(1, n_deeds + 2) if rng.random() < 0.85 else 0
    form, join = rng.choice(FORMS), rng.choice(JOINS)
    return Manner(form, join, setting, second, draw_aftermath(n_deeds, rng), naming_place)


def _draw_second(
    world: World, split: str, companion: Person, rng: Random, mirror_share: float
) -> Callable[[Event], Event]:
    """Draw a second event, which does not affect the emotion.

    Most second events swap the roles of the decisive event, with an act without consequence, so
    that the people and owners named do not tell who did the harm. The others are help or harm
    among other people or to one's own things, so that the acts do not tell the emotion either.
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
    """Draw an event that causes an emotion, for the combination of a person and a thing."""
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
    """Render a situation as text.

    Args:
        event: The decisive event.
        manner: The manner of the text.
        explicit: A sentence that names the emotion, without its full stop; empty for none.
        companion: The person of the combination.
    """
    second = manner.second(event) if manner.second else None
    sentences = [tell(event, manner.form, manner.setting, second, manner.join, companion)]
    sentences += [deed.tell() for deed in manner.aftermath]
    if explicit:
        sentences.insert(manner.naming_place, f"{explicit}.")
    return Situation(
        text=" ".join(sentences),
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
        if emotion in EXPLICIT and rng.random() < world.settings.explicit_share:
            situation = _describe_named(event, manner, emotion, companion, rng)
        else:
            situation = describe(event, manner, "", companion)
        # Redraw if the cue, for example "lost", occurs more than once and is ambiguous.
        if situation.text.count(situation.cue) == 1:
            return situation


def _describe_named(
    event: Event, manner: Manner, emotion: str, companion: Person, rng: Random
) -> Situation:
    """Render a situation as text that names the emotion once or more."""
    marked = [deed.marked(emotion, _MARK_SHARE, rng) for deed in manner.aftermath]
    marks = [mark for _, inserted in marked for mark in inserted]
    named = rng.choice(EXPLICIT[emotion]) if not marks or rng.random() < 0.5 else ""
    manner = replace(manner, aftermath=tuple(deed for deed, _ in marked))
    situation = describe(event, manner, named, companion)
    return situation if named else replace(situation, explicit=True, cue=marks[0])
