"""Words that name an emotion, or perform it as "sorry" performs an apology."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from emotion_circuits.prompts.emotion_set import EmotionSet

# Word stems; a text with a word that begins with one of them counts as explicit.
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

    The words of gratitude, anger and apology are the stems above; those of other emotions are the
    study's ``marking_words``.

    Args:
        text: Any text.
        emotions: The study's emotions.
        label: The emotion whose words are searched; None for all emotions of the study.

    Returns:
        The matched beginning of the word as in the text, or an empty string.
    """
    names = emotions.names if label is None else (label,)
    patterns = [_pattern(_stems(name, emotions)) for name in names]
    matches = [match for pattern in patterns if pattern and (match := pattern.search(text))]
    return min(matches, key=lambda match: match.start()).group() if matches else ""


def _stems(name: str, emotions: EmotionSet) -> tuple[str, ...]:
    own = tuple(re.escape(word) for word in emotions.marking_words.get(name, ()))
    return _STEMS.get(name, own)


@cache
def _pattern(stems: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile(rf"\b(?:{'|'.join(stems)})", re.IGNORECASE) if stems else None
