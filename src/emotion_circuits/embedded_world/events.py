"""What happens in the world, and which emotion it settles for the speaker."""

from __future__ import annotations

from dataclasses import dataclass

from emotion_circuits.embedded_world.lexicon import Act, Person


class Speaker:
    """The one who tells the story and reacts to it."""

    def __repr__(self) -> str:
        return "I"


I = Speaker()  # noqa: E741 - the speaker's own word
Agent = Speaker | Person


@dataclass(frozen=True)
class Event:
    """One act: who did what to whose object.

    Attributes:
        actor: Who did it.
        act: What was done.
        object: The thing it was done to.
        owner: Whose thing it is.
    """

    actor: Agent
    act: Act
    object: str
    owner: Agent

    @property
    def people(self) -> tuple[Person, ...]:
        """The people in the event other than the speaker, the actor first."""
        return tuple(
            dict.fromkeys(who for who in (self.actor, self.owner) if isinstance(who, Person))
        )


def emotion_of(event: Event) -> str:
    """Compute the speaker's emotion from an event.

    Somebody's help with my thing is met with gratitude, somebody's harm to it with anger, and my
    harm to somebody's thing with an apology. Everything else is neutral: acts of no consequence,
    what one does to one's own things, my help to others, and what others do among themselves.

    Args:
        event: What happened.

    Returns:
        One of ``gratitude``, ``anger``, ``apology`` and ``neutral``.
    """
    done_to_me = event.owner is I and event.actor is not I
    done_by_me = event.actor is I and event.owner is not I
    if done_to_me and event.act.kind == "help":
        return "gratitude"
    if done_to_me and event.act.kind == "harm":
        return "anger"
    if done_by_me and event.act.kind == "harm":
        return "apology"
    return "neutral"


def leaning_of(event: Event) -> str | None:
    """Tell towards which emotion a neutral event leans.

    Acts of no consequence between the speaker and another are not all the same: some are a little
    kind, some a little rude.

    Args:
        event: What happened.

    Returns:
        An emotion, or None where the event leans to none.
    """
    if event.owner is I and event.actor is not I:
        return {"kind": "gratitude", "rude": "anger"}.get(event.act.leaning)
    if event.actor is I and event.owner is not I and event.act.leaning == "rude":
        return "apology"
    return None
