"""Names that users give and that become parts of file names: profiles, models, pairs."""

from __future__ import annotations

import re
from typing import Final

from emotion_circuits.errors import InputError

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
# The longest file name has two models' names and about 40 other characters, and may have 255.
_LONGEST: Final = 80


def check_name(what: str, name: object) -> str:
    """Check that a name can stand in a file name and cannot lead out of a folder.

    Args:
        what: Kind of object the name stands for, for example ``"model"``.
        name: The name.

    Returns:
        The name.

    Raises:
        InputError: If the name is not a text of 1 to 80 letters, digits, ``_`` and ``-``, or begins
            with ``-``.
    """
    if not isinstance(name, str) or len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise InputError(
            f"{what} name {name!r} cannot be used; allowed are up to {_LONGEST} letters, digits, _ "
            "and -, without - at the beginning, since it becomes part of file names"
        )
    return name
