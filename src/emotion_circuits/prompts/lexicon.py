"""Words that name an emotion, or perform it as "sorry" performs an apology, with their sources."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

# Beginnings of words, by emotion; ``$`` ends a word that stands for itself only. From the
# gratitude and apology strategies of Danescu-Niculescu-Mizil et al. (2013, arXiv:1306.6078), the
# Gratitude Adjective Checklist (McCullough, Emmons & Tsang 2002, doi 10.1037/0022-3514.82.1.112),
# the anger and guilt clusters of Shaver et al. (1987, doi 10.1037/0022-3514.52.6.1061), and
# adjectives that WordNet 3.1 gives as similar to "angry" ("sore" and "black", which mean much
# else, left out); "fed up", "fuming", "seething" and "pissed" are colloquial additions.
STEMS: Final[dict[str, tuple[str, ...]]] = {
    "gratitude": ("thank", "grateful", "gratitude", "appreciat", "indebted", "obliged"),
    "anger": (
        *("anger", "angr", "fury", "furious", "rage$", "raged$", "enrag", "outrag", "wrath"),
        *("irritat", "aggravat", "agitat", "annoy", "grouch", "grump", "exasperat", "frustrat"),
        *("hostil", "feroci", "bitterness$", "hate$", "hated$", "hates$", "hatred", "loath"),
        *("scorn", "spiteful", "vengeful", "resent", "contempt", "disgust", "revulsion"),
        *("mad$", "madden", "livid", "irate", "infuriat", "indignant", "incensed"),
        *("fed up$", "fuming$", "seething$", "pissed"),
    ),
    "apology": (
        *("sorry", "apolog", "forgiv", "pardon", "excuse", "woops$", "whoops$", "oops$"),
        *("regret", "ashamed", "shame", "guilt", "remorse"),
    ),
}
# The markers of politeness that can be read word by word (Danescu-Niculescu-Mizil et al. 2013):
# please, indirect requests, deference, greeting. Thanks and apologies have lists of their own.
POLITENESS: Final = (
    *("please$", "by the way$", "could you$", "would you$", "kindly$", "if you would$"),
    *("would you mind$", "do you mind$", "may i$", "hello$", "good morning$", "welcome$"),
)


@cache
def pattern_of(stems: tuple[str, ...]) -> re.Pattern[str]:
    """Compile stems into a pattern that matches whole words, in any case.

    Args:
        stems: Beginnings of words, or whole words that end with ``$``; at least one.
    """
    alternatives = (
        rf"{re.escape(stem[:-1])}(?!\w)" if stem.endswith("$") else rf"{re.escape(stem)}\w*"
        for stem in stems
    )
    return re.compile(rf"\b(?:{'|'.join(alternatives)})", re.IGNORECASE)
