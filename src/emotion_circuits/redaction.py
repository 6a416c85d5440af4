"""Removal of credentials from texts that are stored or shown."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

_HIDDEN: Final = "<hidden>"
# Names whose values are secret: hub.token, HF_TOKEN, my-secret; but neither max_tokens nor author.
_SECRET_NAME: Final = (
    r"(?:[\w.-]*[._-])?(?:token|password|passwd|secret|credentials?|(?:api|access)[_-]?key)"
)
_NAMED: Final = re.compile(rf"(?i)(?<![\w.-])(-{{0,2}}{_SECRET_NAME}=)[^,]*")
_SECRET_OPTION: Final = re.compile(rf"(?i)-{{1,2}}{_SECRET_NAME}")
_SECRET_VARIABLE: Final = re.compile(rf"(?i){_SECRET_NAME}|\w+_KEY")
_IN_URL: Final = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_TOKENS: Final = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|github_pat_\w{16,}|glpat-[\w-]{16,}|AKIA[A-Z0-9]{12,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,})"
)
# Shorter values of such variables are flags rather than secrets.
_SHORTEST_SECRET: Final = 8


def without_secrets(text: str) -> str:
    """Replace credentials in a text by ``<hidden>``.

    Args:
        text: Any text.

    Returns:
        The text without user and password in addresses, without tokens of known services, and
        without the values of environment variables that are called token, password, secret, key or
        the like.
    """
    for secret in _secrets_of_environment():
        text = text.replace(secret, _HIDDEN)
    text = _IN_URL.sub(_HIDDEN, text)
    return _TOKENS.sub(_HIDDEN, text)


def arguments_without_secrets(arguments: Sequence[str]) -> list[str]:
    """Return a command line without credentials.

    Args:
        arguments: The arguments, as in ``sys.argv``.

    Returns:
        The arguments as ``without_secrets`` returns them, and without the values of parameters
        called token, password, secret or the like: ``--params=hub.token=…``, ``--token …``.
    """
    shown: list[str] = []
    for index, argument in enumerate(arguments):
        if index and _SECRET_OPTION.fullmatch(arguments[index - 1]):
            shown.append(_HIDDEN)
        else:
            shown.append(_NAMED.sub(rf"\1{_HIDDEN}", without_secrets(argument)))
    return shown


def _secrets_of_environment() -> list[str]:
    values = (value for name, value in os.environ.items() if _SECRET_VARIABLE.fullmatch(name))
    return sorted((v for v in values if len(v) >= _SHORTEST_SECRET), key=len, reverse=True)
