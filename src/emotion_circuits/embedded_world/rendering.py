"""Rendering of events in English, with independent choices of voice, word and clause order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emotion_circuits.embedded_world.events import Agent, Event, I
from emotion_circuits.embedded_world.lexicon import Person

# Sentence forms of the decisive event.
FORMS: Final = (
    "active",
    "passive",
    "cleft",
    "owned",
    "owned_passive",
    "topic",
    "intro",
    "intro_passive",
)
# Positions of the second event.
JOINS: Final = ("and_after", "and_before", "while_after", "while_before", "then", "earlier")


@dataclass(frozen=True)
class Setting:
    """Time and place of an event; both may be empty.

    Attributes:
        time: A time adverbial, such as ``last night``.
        place: A place adverbial, such as ``in the kitchen``.
        time_first: Whether the sentence begins with the time.
    """

    time: str = ""
    place: str = ""
    time_first: bool = False


def tell(
    event: Event, form: str, setting: Setting, second: Event | None, join: str, companion: Person
) -> str:
    """Render a situation as text.

    Args:
        event: The decisive event, which determines the emotion.
        form: One of ``FORMS``.
        setting: Time and place of the decisive event.
        second: A second event, which does not affect the emotion; None for no second event.
        join: One of ``JOINS``: how the second event is attached.
        companion: The person whom the ``intro`` forms introduce.

    Returns:
        One to three sentences.
    """
    before, clause = _decisive(event, form, setting, companion)
    if second is None:
        return before + _sentence(clause)
    other = _second(second, form, companion)
    if before:  # keeps "she" next to the sentence that introduces her
        join = {"and_before": "then", "while_before": "then", "earlier": "then"}.get(join, join)
    if form in ("owned", "owned_passive"):  # keeps each "it" in its own sentence
        join = "earlier" if join.endswith("before") else "then" if join != "earlier" else join
    if join == "and_before":
        return _sentence(f"{other}, and {clause}")
    if join == "while_before":
        return _sentence(f"while {other}, {clause}")
    if join == "earlier":
        return f"{_sentence(other)} {_sentence(clause)}"
    if join == "then":
        return f"{before}{_sentence(clause)} {_sentence(other)}"
    link = ", and" if join == "and_after" else " while"
    return before + _sentence(f"{clause}{link} {other}")


def _decisive(event: Event, form: str, setting: Setting, companion: Person) -> tuple[str, str]:
    """Return the introduction before the decisive clause, and the clause."""
    if form in ("intro", "intro_passive"):
        before = _sentence(_at_the_end(f"{companion.name} was with me", setting)) + " "
        voice = _passive if form == "intro_passive" else _active
        return before, voice(event, known=companion)
    if form in ("owned", "owned_passive"):
        return "", _at_the_end(_owned(event, passive=form == "owned_passive"), setting)
    if form == "topic":
        did = f"{_subject(event.actor)} {event.act.past} it"
        return "", _at_the_end(f"as for {_possessed(event, own=False)}, {did}", setting)
    if form == "cleft":
        did = f"{_subject(event.actor)} who {event.act.past} {_possessed(event)}"
        return "", _placed(f"it was {did}", setting)
    return "", _placed(_passive(event) if form == "passive" else _active(event), setting)


def _second(event: Event, form: str, companion: Person) -> str:
    """Render the second event in the form of the decisive one.

    If the second event mirrors the roles of the first, only the order of the words then tells who
    did the harm.
    """
    if form in ("owned", "owned_passive"):
        return _owned(event, passive=form == "owned_passive")
    known = companion if form in ("intro", "intro_passive") else None
    return _passive(event, known) if "passive" in form else _active(event, known)


def _owned(event: Event, *, passive: bool) -> str:
    owner = "mine" if event.owner is I else f"{_name(event.owner)}'s"
    did = f"{_subject(event.actor)} {event.act.past} it"
    if passive:
        did = f"it was {event.act.past} by {_object(event.actor)}"
    return f"the {event.object} is {owner}, and {did}"


def _at_the_end(clause: str, setting: Setting) -> str:
    place = f" {setting.place}" if setting.place else ""
    time = f" {setting.time}" if setting.time else ""
    return f"{clause}{place}{time}"


def _placed(clause: str, setting: Setting) -> str:
    if setting.time and setting.time_first:
        place = f" {setting.place}" if setting.place else ""
        return f"{setting.time}, {clause}{place}"
    return _at_the_end(clause, setting)


def _active(event: Event, known: Person | None = None) -> str:
    subject = _subject(event.actor, known)
    return f"{subject} {event.act.past} {_possessed(event, known)}"


def _passive(event: Event, known: Person | None = None) -> str:
    agent = _object(event.actor, known)
    return f"{_possessed(event, known)} was {event.act.past} by {agent}"


def _possessed(event: Event, known: Person | None = None, *, own: bool = True) -> str:
    """Name the object with its owner; "own" marks an actor other than the speaker as the owner."""
    if event.owner is I:
        owner = "my"
    elif event.owner == known:
        owner = known.possessive
    else:
        owner = f"{_name(event.owner)}'s"
    itself = event.owner == event.actor and event.owner is not I
    return f"{owner}{' own' if own and itself else ''} {event.object}"


def _name(agent: Agent) -> str:
    return agent.name if isinstance(agent, Person) else "I"


def _subject(agent: Agent, known: Person | None = None) -> str:
    if isinstance(agent, Person):
        return agent.subject if agent == known else agent.name
    return "I"


def _object(agent: Agent, known: Person | None = None) -> str:
    if isinstance(agent, Person):
        return agent.object if agent == known else agent.name
    return "me"


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."
