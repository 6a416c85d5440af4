"""The four labels of the study, in the order every file lists them."""

from typing import Final

EMOTIONS: Final = ("gratitude", "anger", "apology")
NEUTRAL: Final = "neutral"
LABELS: Final = (*EMOTIONS, NEUTRAL)
