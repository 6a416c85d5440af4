"""The emotions of a study that names none: gratitude, anger and apology against neutral."""

from emotion_circuits.prompts import EmotionSet

FOUR = EmotionSet()
