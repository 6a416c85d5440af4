"""Words of a text that name an emotion."""

from __future__ import annotations

from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.prompts.lexicon import STEMS, pattern_of


def emotion_word(text: str, emotions: EmotionSet, label: str | None = None) -> str:
    """Find the first word that names an emotion.

    The words of gratitude, anger and apology are those of the lexicon; those of other emotions are
    the study's ``marking_words``.

    Args:
        text: Any text.
        emotions: The study's emotions.
        label: The emotion whose words are searched; None for all emotions of the study.

    Returns:
        The word as in the text, or an empty string.
    """
    names = emotions.names if label is None else (label,)
    stems = [STEMS.get(name, emotions.marking_words.get(name, ())) for name in names]
    matches = [match for own in stems if own and (match := pattern_of(own).search(text))]
    return min(matches, key=lambda match: match.start()).group() if matches else ""
