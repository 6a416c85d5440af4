"""Base class of every phase's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotion_circuits.errors import InputError, unknown_name

_NO_EFFECT: Final = "changes_no_result"


def without_effect(default: Any, **options: Any) -> Any:
    """Declare a parameter that changes no result, only speed, memory or where files are.

    Results are not computed again when such a parameter changes.

    Args:
        default: The parameter's default.
        options: As of pydantic's ``Field``.
    """
    return Field(default, json_schema_extra={_NO_EFFECT: True}, **options)


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

    def with_effect(self) -> dict[str, Any]:
        """Return the parameters on which results depend, as plain containers.

        Those that are declared by ``without_effect`` are left out.
        """
        return {
            name: _with_effect(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if not (
                isinstance(field.json_schema_extra, dict) and _NO_EFFECT in field.json_schema_extra
            )
        }


def _with_effect(value: Any) -> Any:
    """Do the same within containers."""
    if isinstance(value, PhaseSettings):
        return value.with_effect()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(name): _with_effect(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_effect(item) for item in value]
    return value


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
