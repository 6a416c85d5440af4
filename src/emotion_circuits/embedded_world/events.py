"""Events of the world, and the speaker's emotion that follows from an event."""

from __future__ import annotations

from dataclasses import dataclass

from emotion_circuits.embedded_world.lexicon import Act, Person


class Speaker:
    """The narrator, who also reacts."""

    def __repr__(self) -> str:
        return "I"


I = Speaker()  # noqa: E741 - reads like the narrator's "I"
Agent = Speaker | Person


@dataclass(frozen=True)
class Event:
    """One event: who did what to whose object.

    Attributes:
        actor: The person who acts.
        act: The act.
        object: The object that is acted on.
        owner: The owner of the object.
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
    """Return the speaker's emotion about an event.

    Another person's help with the speaker's thing causes gratitude, another person's harm to it
    anger, and the speaker's harm to another person's thing an apology. All other events are
    neutral: acts without consequence, acts on one's own things, the speaker's help to others, and
    events among others.

    Args:
        event: The event.

    Returns:
        ``gratitude``, ``anger``, ``apology`` or ``neutral``.
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
    """Return the emotion that a neutral event leans to.

    Some acts without consequence between the speaker and another person are a little kind, some a
    little rude.

    Args:
        event: The event.

    Returns:
        An emotion, or None if the event leans to none.
    """
    if event.owner is I and event.actor is not I:
        return {"kind": "gratitude", "rude": "anger"}.get(event.act.leaning)
    if event.actor is I and event.owner is not I and event.act.leaning == "rude":
        return "apology"
    return None
