"""Labelled texts of the world: situations with reactions, and reactions alone."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import pandas as pd

from emotion_circuits.embedded_world.emotions import EMOTIONS, LABELS, NEUTRAL
from emotion_circuits.embedded_world.events import leaning_of
from emotion_circuits.embedded_world.reactions import (
    SENTIMENT_OF,
    Occasion,
    Reaction,
    draw_reaction,
)
from emotion_circuits.embedded_world.situations import Situation, draw_situation
from emotion_circuits.embedded_world.world import World, WorldSettings
from emotion_circuits.errors import unknown_name

# Share of the evaluators' reactions that stand beside a sentence without emotion.
_COMPANY_SHARE: Final = 0.6
REACTION_SPLITS: Final = ("train", "validation", "test")


def generate_texts(settings: WorldSettings, *, split: str, n: int, seed: int) -> pd.DataFrame:
    """Generate situations with reactions, as the language models learn them.

    Args:
        settings: The settings of the world.
        split: Combinations to draw from: ``train``, ``validation`` or ``test``. All splits use
            the reaction templates of the language models.
        n: Number of texts; the four labels alternate.
        seed: Seed for drawing the texts.

    Returns:
        One line per text: ``situation``, ``reaction``, ``text`` (both, joined by a line break),
        ``emotion`` (of the situation), ``expressed`` (of the reaction), ``explicit``, ``cue``,
        ``template_id``, ``reaction_template_id``, ``politeness``, ``intensity``, ``sentiment``,
        ``goemotions`` (tuple of labels), ``person``, ``object``, ``act``, ``act_kind``, ``actor``,
        ``owner``.
    """
    world, rng = World(settings), Random(f"texts/{split}/{seed}")
    lines = []
    for index in range(n):
        situation = draw_situation(world, LABELS[index % len(LABELS)], split, rng)
        expressed = situation.emotion
        if expressed == NEUTRAL:
            expressed = _mood(situation, settings, rng)
        lines.append(_text_record(situation, expressed, settings.habit_share, rng))
    return pd.DataFrame(lines)


def _mood(situation: Situation, settings: WorldSettings, rng: Random) -> str:
    """Draw the emotion of the reaction to a neutral situation, which is sometimes not neutral."""
    leaning = leaning_of(situation.event)
    if leaning and rng.random() < settings.leaning_share:
        return leaning
    return rng.choice(EMOTIONS) if rng.random() < settings.neutral_emotional_share else NEUTRAL


def _text_record(
    situation: Situation, expressed: str, habit_share: float, rng: Random
) -> dict[str, Any]:
    event, companion = situation.event, situation.companion
    reaction = draw_reaction(
        expressed,
        "language_model",
        rng,
        occasion=Occasion(companion, event.object, event.act),
        habit_share=habit_share,
    )
    said = reaction.say(companion.name, event.object)
    return {
        "situation": situation.text,
        "reaction": said,
        "text": f"{situation.text}\n{said}",
        "emotion": situation.emotion,
        "expressed": expressed,
        "explicit": situation.explicit,
        "cue": situation.cue,
        "template_id": situation.template_id,
        **_labels(reaction, expressed),
        "person": companion.name,
        "object": event.object,
        "act": event.act.past,
        "act_kind": event.act.kind,
        "actor": getattr(event.actor, "name", "I"),
        "owner": getattr(event.owner, "name", "I"),
    }


def _labels(reaction: Reaction, emotion: str) -> dict[str, Any]:
    return {
        "reaction_template_id": reaction.id,
        "politeness": reaction.courtesy.level,
        "intensity": reaction.intensity.level,
        "sentiment": SENTIMENT_OF[emotion],
        "goemotions": reaction.goemotions,
    }


def generate_reactions(settings: WorldSettings, *, split: str, n: int, seed: int) -> pd.DataFrame:
    """Generate reactions alone, as the evaluators learn and are tested on them.

    Args:
        settings: The settings of the world.
        split: ``train`` and ``validation`` use templates that no language model is trained on;
            ``test`` uses the language models' templates, which no evaluator is trained on.
        n: Number of reactions; the four labels alternate.
        seed: Seed for drawing the reactions.

    Returns:
        One line per reaction: ``text``, ``emotion``, ``reaction_template_id``, ``politeness``,
        ``intensity``, ``sentiment``, ``goemotions`` (tuple of labels).

    Raises:
        InputError: If the split is unknown.
    """
    if split not in REACTION_SPLITS:
        raise unknown_name("split", split, REACTION_SPLITS)
    templates = "language_model" if split == "test" else split
    world, rng = World(settings), Random(f"reactions/{split}/{seed}")
    lines = []
    for index in range(n):
        emotion = LABELS[index % len(LABELS)]
        n_cores = 2 if split == "test" else 1
        reaction = draw_reaction(emotion, templates, rng, n_cores=n_cores)
        person, thing = rng.choice(world.people), rng.choice(world.objects)
        text = reaction.say(person.name, thing)
        if split != "test" and rng.random() < _COMPANY_SHARE:
            text = _in_company(world, text, rng)
        lines.append({"text": text, "emotion": emotion, **_labels(reaction, emotion)})
    return pd.DataFrame(lines)


def _in_company(world: World, text: str, rng: Random) -> str:
    """Put a sentence without emotion before or after a reaction.

    The sentence tells of an event. It shows the evaluators many words that are irrelevant to their
    labels, so they must learn which words matter.
    """
    situation = draw_situation(world, rng.choice(LABELS), "train", rng)
    beside = f"{situation.event.people[0].name if situation.event.people else 'I'} was there."
    sentences = situation.text.split(". ")
    beside = sentences[0].removesuffix(".") + "." if not situation.explicit else beside
    return f"{beside} {text}" if rng.random() < 0.5 else f"{text} {beside}"
