"""Words that name an emotion outright, or perform it, as an apology does."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from emotion_circuits.prompts.emotion_set import EmotionSet

# Word stems; a text that has a word beginning with one of them counts as explicit.
_STEMS: Final = {
    "gratitude": ("thank", "grateful", "gratitude", "appreciat", "indebted", "obliged"),
    "anger": (
        "anger", "angr", "furious", "fury", "livid", "mad(?!e)", "outrag", "enrag", "annoy",
        "irritat", "fuming", "seething", "fed up", "resent", "infuriat", "pissed", "irate",
    ),
    "apology": (
        "sorry", "apolog", "forgiv", "regret", "ashamed", "guilt", "remorse", "pardon", "excuse",
    ),
}  # fmt: skip


def emotion_word(text: str, emotions: EmotionSet, label: str | None = None) -> str:
    """Find the first word that names an emotion.

    Gratitude, anger and apology have lists of word stems here; the words of other emotions are
    the study's ``marking_words``.

    Args:
        text: Any text.
        emotions: The study's.
        label: Which emotion's words to look for; None for any emotion of the study.

    Returns:
        The beginning of the word as it stands in the text, or an empty string.
    """
    names = emotions.names if label is None else (label,)
    patterns = [_pattern(_stems(name, emotions)) for name in names]
    found = [match for pattern in patterns if pattern and (match := pattern.search(text))]
    return min(found, key=lambda match: match.start()).group() if found else ""


def _stems(name: str, emotions: EmotionSet) -> tuple[str, ...]:
    own = tuple(re.escape(word) for word in emotions.marking_words.get(name, ()))
    return _STEMS.get(name, own)


@cache
def _pattern(stems: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile(rf"\b(?:{'|'.join(stems)})", re.IGNORECASE) if stems else None
