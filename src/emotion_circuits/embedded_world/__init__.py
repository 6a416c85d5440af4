"""A small world in which the emotion follows from who did what to whose thing."""

from emotion_circuits.embedded_world.corpus import generate_reactions, generate_texts
from emotion_circuits.embedded_world.events import Event, emotion_of
from emotion_circuits.embedded_world.prompts import emotion_prompts, fresh_neutral_prompts
from emotion_circuits.embedded_world.world import World, WorldSettings

__all__ = [
    "Event",
    "World",
    "WorldSettings",
    "emotion_of",
    "emotion_prompts",
    "fresh_neutral_prompts",
    "generate_reactions",
    "generate_texts",
]
