"""An option of a command line, and the parameters that its value becomes."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option of a command.

    Attributes:
        flag: Name on the command line, such as ``--batch-size``.
        parameters: Parameters of a run that take its value, such as ``activations.batch_size``;
            none, if the command reads the option itself or the option has no effect any more.
        help: Meaning, for ``--help``.
        default: Value of an option that is not given; None leaves the profile's parameter.
        most: Default unless the profile's own number is smaller, as where it has few texts.
        read: Reads one value from text; a ValueError becomes argparse's message, which names the
            function.
        many: Whether the option takes one or more values.
        choices: All allowed values; None for any.
        switch: ``--flag`` alone (``on``), or also ``--no-flag`` (``on_off``); None takes a value.
        convert: Value of the parameters, if it differs from that of the option; a result of None
            leaves the parameters as they are.
    """

    flag: str
    parameters: tuple[str, ...]
    help: str
    default: Any = None
    read: Callable[[str], Any] = str
    many: bool = False
    choices: tuple[str, ...] | None = None
    switch: str | None = None
    convert: Callable[[Any], Any] | None = None
    most: int | None = None

    @property
    def name(self) -> str:
        """The attribute of argparse's namespace that holds the value."""
        return self.flag.removeprefix("--").replace("-", "_")

    def add_to(self, parser: ArgumentParser) -> None:
        """Add the option to a parser."""
        told = self.help
        if self.default is not None and self.switch is None:
            shown = " ".join(map(str, self.default)) if self.many else self.default
            told += f" (default: {shown})"
        if self.most is not None:
            told += f" (default: {self.most}, or the profile's number if that is smaller)"
        if self.switch is not None:
            action = BooleanOptionalAction if self.switch == "on_off" else "store_true"
            parser.add_argument(self.flag, action=action, default=self.default, help=told)
            return
        parser.add_argument(
            self.flag,
            type=self.read,
            nargs="+" if self.many else None,
            choices=self.choices,
            default=self.default,
            help=told,
        )

    def set_in(self, parameters: dict[str, Any], value: Any, own: Mapping[str, Any]) -> None:
        """Write the option's value into nested parameters; None is not written.

        Args:
            parameters: Nested parameters, which are changed.
            value: The value on the command line, or the default.
            own: The profile's parameters.
        """
        if value is None and self.most is not None:
            group, name = self.parameters[0].split(".")
            value = min(self.most, own[group][name])
        if value is not None and self.convert is not None:
            value = self.convert(value)
        if value is not None:
            for name in self.parameters:
                set_nested(parameters, name, value)


def set_nested(parameters: dict[str, Any], name: str, value: Any) -> None:
    """Set a parameter such as ``alignment.k_max`` in nested dictionaries."""
    *groups, last = name.split(".")
    for group in groups:
        parameters = parameters.setdefault(group, {})
    parameters[last] = value


def one_of(values: Mapping[Any, Any]) -> Callable[[Any], Any]:
    """Return a conversion by a table."""
    return values.__getitem__


def positive_int(text: str) -> int:
    """Read a whole number from 1."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def whole_number(text: str) -> int:
    """Read a whole number from 0, such as a layer's."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def number_of_threads(text: str) -> int:
    """Read a number of threads from 1, or -1 for one per core."""
    return -1 if text == "-1" else positive_int(text)


def share(text: str) -> float:
    """Read a number between 0 and 1."""
    number = float(text)
    if not 0 < number < 1:
        raise ValueError(text)
    return number


def positive_number(text: str) -> float:
    """Read a finite number above 0."""
    number = float(text)
    if not 0 < number < inf:
        raise ValueError(text)
    return number


def strength(text: str) -> float:
    """Read a finite number."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def head(text: str) -> str:
    """Read one item of a set of heads, such as ``1:3``; whether it exists, the model tells."""
    from emotion_circuits.experiments.heads import is_head_item

    if not is_head_item(text):
        raise ValueError(text)
    return text


def device(text: str) -> str:
    """Read the name of a device."""
    from emotion_circuits.language_models import resolve_device

    resolve_device(text)
    return text
