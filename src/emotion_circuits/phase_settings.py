"""The base class of every phase's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from emotion_circuits.errors import InputError, unknown_name


class PhaseSettings(BaseModel):
    """Parameters of one phase: immutable, and closed to names it does not know.

    A subclass has one field per parameter with a type, a default and a description. A node that
    is annotated with the subclass receives a checked instance of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, **values: Any) -> None:
        """Check values given by name.

        Raises:
            InputError: If one is unknown or impossible; the line names it, its value and what is
                allowed.
        """
        with _in_one_line(type(self)):
            super().__init__(**values)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Check raw parameters, as the constructor does."""
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
    """Put one of pydantic's findings into a line."""
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        return str(unknown_name("parameter", place, settings.model_fields))
    message = f"{problem['msg'][0].lower()}{problem['msg'][1:]}".removeprefix("value error, ")
    if problem["type"] == "missing":
        return f"{place}: {message}"
    return f"{place} is {problem['input']!r}: {message}" if place else message
