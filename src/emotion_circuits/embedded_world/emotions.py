"""The emotions of the embedded world."""

from typing import Final

from emotion_circuits.prompts import EmotionSet

WORLD_EMOTIONS: Final = EmotionSet(names=("gratitude", "anger", "apology"), neutral="neutral")
EMOTIONS: Final = WORLD_EMOTIONS.names
NEUTRAL: Final = WORLD_EMOTIONS.neutral
LABELS: Final = WORLD_EMOTIONS.labels
