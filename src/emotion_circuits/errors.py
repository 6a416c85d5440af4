"""Errors a user can act on: one line that says what failed, what was seen and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave is wrong; the message is a single line that says how to mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def unknown_name(what: str, value: object, known: Iterable[object], where: str = "") -> InputError:
    """Build the error for a name that is not one of the known names.

    Args:
        what: What kind of thing was named, for example ``"model"``.
        value: The name as it was given.
        known: The names that are allowed, in the order to list them.
        where: Where it was looked for, for example ``"profile 'baseline'"``; may be empty.

    Returns:
        An error to raise, for example ``model 'gpt2_smal' is not in profile 'baseline'; known:
        gpt2_small, pythia-160m; nearest: gpt2_small``.
    """
    names = [str(name) for name in known]
    place = f"is not in {where}" if where else "is unknown"
    message = f"{what} {str(value)!r} {place}; known: {', '.join(names) or 'none'}"
    nearest = get_close_matches(str(value), names, n=1, cutoff=0.5)
    return InputError(f"{message}; nearest: {nearest[0]}" if nearest else message)
