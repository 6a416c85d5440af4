"""Grammatical forms of texts, and how often each label has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pandas as pd

from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.prompts.style import ENDINGS, style_of, words_of

_WORDS: Final = {
    "first_person": r"\b(?:i|me|my|mine|myself|we|us|our|ours|ourselves)\b",
    "second_person": r"\b(?:you|your|yours|yourself|yourselves)\b",
    "third_person": r"\b(?:he|she|they|him|her|his|hers|them|their|theirs)\b",
    "past_auxiliary": r"\b(?:was|were|had|did)(?:n't)?\b",
    "present_auxiliary": r"\b(?:is|are|am|has|have|do|does|i'm|i've)(?:n't)?\b",
    "future": r"\b(?:will|won't|going to)\b|\w'll\b",
    "negation": r"\b(?:not|no|none|nobody|nothing|never|neither|nor|without|cannot)\b|n't\b",
}
_MARKS: Final = {
    "sentences": r"[.!?]+(?=[\s\"”)]|$)",
    "question": r"\?",
    "quotation": r"[\"“”]",
    "comma": r",",
    "colon_or_semicolon": r"[:;]",
    # The first word of a sentence and the pronoun "I" are no names.
    "names": r"(?-i:(?<=[a-z,;:] )(?!I\b)[A-Z]\w+)",
}


def _pattern_count(pattern: str) -> Callable[[str], int]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: len(compiled.findall(text))


def _ending_count(ending: str) -> Callable[[str], int]:
    return lambda text: style_of(text).count(f"-{ending}")


_COUNTS: Final[dict[str, Callable[[str], int]]] = {
    "words": lambda text: len(words_of(text)),
    "characters": len,
    **{form: _pattern_count(pattern) for form, pattern in (_WORDS | _MARKS).items()},
    **{f"ending_{ending}": _ending_count(ending) for ending in ENDINGS},
}
FORMS: Final = tuple(_COUNTS)


def count_forms(texts: pd.Series) -> pd.DataFrame:
    """Count grammatical forms in each text.

    Forms are recognised by their letters, without a parser: ``ending_ed`` also counts "red", and
    ``names`` counts words with a capital within a sentence, weekdays included. All are English.

    Args:
        texts: The texts.

    Returns:
        One line per text, with the index of ``texts``; one column per form of ``FORMS``.
    """
    plain = texts.str.strip().str.replace("\u2019", "'")
    return pd.DataFrame({form: plain.map(count) for form, count in _COUNTS.items()})


def form_rates(counts: pd.DataFrame, labels: pd.Series, emotions: EmotionSet) -> pd.DataFrame:
    """Average the counts of each form over the texts of each label.

    Args:
        counts: The result of ``count_forms``.
        labels: The label of each text, with the same index.
        emotions: The study's emotions.

    Returns:
        Mean number per text: one line per form, one column per label; NaN for a label without
        texts.
    """
    return counts.groupby(labels).mean().reindex(list(emotions.labels)).T
