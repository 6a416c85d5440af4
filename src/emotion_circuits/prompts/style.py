"""The style of a text: what is left when words of content are reduced to their endings."""

from __future__ import annotations

import re
from typing import Final

# English function words: pronouns, determiners, auxiliaries, prepositions, conjunctions, and
# adverbs of degree, time and place. Contractions count as one word.
_FUNCTION_WORDS: Final = """
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his
    himself she her hers herself it its itself they them their theirs themselves one ones one's
    a an the this that these those some any no none nobody nothing nowhere neither nor not never
    each every all both either another other others same such own am is are was were be been being
    have has had having do does did doing done will would shall should can could may might must
    going cannot let's of in on at to from by with without for about into onto over under above
    below behind beside between among through across along past up down off out around round
    against near after before during until till since toward towards upon within inside outside
    beyond next than as like per via and or but so because if when while where although though
    unless once whether who whom whose which what why how whoever whatever there here then now too
    very just only even still also again already yet ever always away back much many more most
    less least few fewer several half enough i'm i've i'd i'll we're we've we'd we'll you're
    you've you'd you'll he's he'd he'll she's she'd she'll it's it'll they're they've they'd
    they'll that's there's who's who'd what's don't didn't doesn't isn't aren't wasn't weren't
    haven't hasn't hadn't won't wouldn't can't couldn't shouldn't mustn't needn't
"""
FUNCTION_WORDS: Final = frozenset(_FUNCTION_WORDS.split())
# In the order in which they are tried.
ENDINGS: Final = ("ed", "ing", "ly", "est", "er", "s")

_TOKEN: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[^\s\w]|_")


def tokenize(text: str) -> list[str]:
    """Split a text into words (in lower case), numbers and single punctuation marks.

    A word may contain apostrophes, typographic ones included.
    """
    return [token.lower() for token in _TOKEN.findall(text.replace("\u2019", "'"))]


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without numbers and punctuation."""
    return [token for token in tokenize(text) if token[0].isalpha()]


def style_of(text: str) -> list[str]:
    """Return the style of a text, token by token.

    Function words, numbers and punctuation stay. Each other word is replaced by its ending, such
    as ``-ed``, or by ``other`` if it has none of ``ENDINGS``. Function words and endings are
    English.

    Args:
        text: Any text.
    """
    return [
        token if not token[0].isalpha() or token in FUNCTION_WORDS else _ending(token)
        for token in tokenize(text)
    ]


def _ending(word: str) -> str:
    return next((f"-{ending}" for ending in ENDINGS if word.endswith(ending)), "other")
