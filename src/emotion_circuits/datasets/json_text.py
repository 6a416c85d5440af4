"""Reader for JSON from users and from other people's results."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from emotion_circuits.datasets.plain_data import check_plain
from emotion_circuits.errors import InputError

# The escape of half a character; two of them in a row may be a whole one.
_HALF_CHARACTER: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str, name: str, line: int | None = None) -> Any:
    """Read one JSON document.

    Args:
        text: The document.
        name: Its file, for messages.
        line: The line of the file that holds all of it; None if the document is a whole file.

    Raises:
        InputError: If the text is not JSON, is nested deeper than 100 levels, has a number of more
            than 4,300 digits, or has half a character, which cannot be written to a file.
    """
    where = name if line is None else f"{name}, line {line}"
    try:
        value = json.loads(text)
        check_plain(value, len(text))
        if _HALF_CHARACTER.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        at = where if line is not None else f"{name}, line {error.lineno}"
        raise InputError(f"{at}: broken JSON: {error.msg}") from error
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise InputError(f"{where}: {half} is half a character (a lone surrogate)") from error
    except RecursionError as error:
        raise InputError(f"{where}: containers are nested deeper than 100 levels") from error
    except ValueError as error:  # Python reads whole numbers of up to 4,300 digits
        raise InputError(f"{where}: {error}") from error
    return value
