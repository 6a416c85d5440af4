"""Errors that a user can fix: one line with what failed, the value seen and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from emotion_circuits.redaction import without_secrets

# Control characters, which a terminal obeys; marks that reverse the direction of writing; and
# halves of characters, which cannot be written.
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_LONGEST_MESSAGE: Final = 4000


def printable(text: str) -> str:
    r"""Return one line of text that a terminal shows and does not obey.

    Args:
        text: Any text, such as a name from a file or what a model wrote.

    Returns:
        The text with each run of white space as one space, and with control characters, marks of
        direction and lone surrogates as escapes such as ``\\x1b``.
    """
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    """Return a text with what a terminal would obey as escapes; white space but blanks included."""
    return _UNPRINTABLE.sub(lambda mark: ascii(mark.group())[1:-1], text)


class InputError(ValueError):
    """An error in the user's input; the message is one line that says how to fix it."""

    def __init__(self, message: str) -> None:
        line = printable(without_secrets(message[:_LONGEST_MESSAGE]))
        super().__init__(line if len(message) <= _LONGEST_MESSAGE else f"{line} …")


def unknown_name(what: str, value: object, known: Iterable[object], where: str = "") -> InputError:
    """Build the error for a name that is not one of the known names.

    Args:
        what: Kind of object the name stands for, for example ``"model"``.
        value: The unknown name.
        known: The allowed names, in the order in which the message lists them.
        where: Where the name was looked up, for example ``"profile 'baseline'"``; may be empty.

    Returns:
        The error to raise, for example ``model 'gpt2_smal' is not in profile 'baseline'; known:
        gpt2_small, pythia-160m; nearest: gpt2_small``.
    """
    names = [str(name) for name in known]
    problem = f"is not in {where}" if where else "is unknown"
    message = f"{what} {str(value)!r} {problem}; known: {', '.join(names) or 'none'}"
    nearest = get_close_matches(str(value), names, n=1, cutoff=0.5)
    return InputError(f"{message}; nearest: {nearest[0]}" if nearest else message)
