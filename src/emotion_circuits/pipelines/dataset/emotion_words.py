"""Words that name an emotion outright, or perform it, as an apology does."""

import re
from typing import Final

# Word stems; a text that has a word beginning with one of them counts as explicit.
EMOTION_WORDS: Final = {
    "gratitude": ("thank", "grateful", "gratitude", "appreciat", "indebted", "obliged"),
    "anger": (
        "anger", "angr", "furious", "fury", "livid", "mad", "outrag", "enrag", "annoy", "irritat",
        "fuming", "seething", "fed up", "resent", "infuriat", "pissed", "irate",
    ),
    "apology": (
        "sorry", "apolog", "forgiv", "regret", "ashamed", "guilt", "remorse", "pardon", "excuse",
    ),
}  # fmt: skip

_PATTERNS: Final = {
    label: re.compile(rf"\b(?:{'|'.join(stem for stem in stems if stem != 'mad')}"
                      rf"{'|mad(?!e)' if 'mad' in stems else ''})", re.IGNORECASE)
    for label, stems in EMOTION_WORDS.items()
}  # fmt: skip


def emotion_word(text: str, label: str | None = None) -> str:
    """Find the first word that names an emotion.

    Args:
        text: Any text.
        label: Which emotion's words to look for; None for any.

    Returns:
        The stem as it stands in the text, or an empty string.
    """
    patterns = _PATTERNS.values() if label is None else [_PATTERNS[label]]
    found = [match for pattern in patterns if (match := pattern.search(text))]
    return min(found, key=lambda match: match.start()).group() if found else ""
