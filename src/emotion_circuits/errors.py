"""Errors that a user can fix: one line with what failed, the value seen and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """An error in the user's input; the message is one line that says how to fix it."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


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
