"""Sentences on figures and tables whose numbers are of too few texts."""

from __future__ import annotations

from typing import Any

from emotion_circuits.reporting.answers.words import FEW_TEXTS
from emotion_circuits.reporting.finite import to_number


def few_texts(n: Any, what: str = "texts") -> str:
    """Return the warning for a number of texts; empty if there are enough or it is not known.

    Args:
        n: The number.
        what: What is counted.
    """
    known = to_number(n)
    if known is None or known >= FEW_TEXTS:
        return ""
    return f"Too few texts to conclude anything: {known:.0f} {what}."
