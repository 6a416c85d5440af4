"""The short answer of a study: one line per model and emotion, in numbers and in words."""

from emotion_circuits.reporting.answers.headline import COLUMNS, Headline, headline_table, headlines
from emotion_circuits.reporting.answers.numbers import interval, number, p_value
from emotion_circuits.reporting.answers.words import FEW_PROMPTS, too_few_prompts, verdict

__all__ = [
    "COLUMNS",
    "FEW_PROMPTS",
    "Headline",
    "headline_table",
    "headlines",
    "interval",
    "number",
    "p_value",
    "too_few_prompts",
    "verdict",
]
