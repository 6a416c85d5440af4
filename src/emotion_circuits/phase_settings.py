"""Base class of every phase's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from emotion_circuits.errors import InputError, unknown_name


class PhaseSettings(BaseModel):
    """Immutable parameters of one phase; unknown names are errors.

    A subclass declares one field per parameter, with type, default and description. A node
    function that annotates an argument with the subclass receives a validated instance.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, **values: Any) -> None:
        """Validate the values.

        Raises:
            InputError: If a name is unknown or a value invalid; the message names the parameter,
                its value and what is allowed.
        """
        with _in_one_line(type(self)):
            super().__init__(**values)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validate a mapping of raw parameters as the constructor does."""
        with _in_one_line(cls):
            return super().model_validate(obj, **options)


@contextmanager
def _in_one_line(settings: type[BaseModel]) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        lines = (_describe(settings, dict(item)) for item in error.errors())
        raise InputError("; ".join(lines)) from error


def _describe(settings: type[BaseModel], problem: dict[str, Any]) -> str:
    """Write one of pydantic's errors as one line."""
    parameter = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        return str(unknown_name("parameter", parameter, settings.model_fields))
    message = f"{problem['msg'][0].lower()}{problem['msg'][1:]}".removeprefix("value error, ")
    if problem["type"] == "missing":
        return f"{parameter}: {message}"
    return f"{parameter} is {problem['input']!r}: {message}" if parameter else message
