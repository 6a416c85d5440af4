"""Differences between what a result was made from and what it would be made from today."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_SHOWN: Final = 3
_LONGEST: Final = 60
_NOT_THERE: Final = object()
# Value of models and data that are missing where a run only reads what was made from them.
NOT_HERE: Final = "not on this machine"


def may_be_equal(then: Mapping[str, Any], today: Mapping[str, Any]) -> bool:
    """Return whether two conditions differ in nothing but models and data that are not here.

    Args:
        then: The conditions of a record.
        today: The conditions of the same result today; False if they lack nothing.
    """
    then_known, today_known = _known(then, today), _known(today, today)
    return len(today_known) < len(today) and then_known == today_known


def _known(conditions: Mapping[str, Any], today: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out all that belongs to models and data that are not here."""
    missing = [name for name, value in today.items() if value == NOT_HERE]
    return {
        name: value
        for name, value in conditions.items()
        if not any(name == source or name.startswith(f"{source}.") for source in missing)
    }


def differences(then: Mapping[str, Any], today: Mapping[str, Any]) -> str:
    """Name the parameters, models and data that differ, with both values.

    Args:
        then: The conditions of a record.
        today: The conditions of the same result today.

    Returns:
        For example ``residual_patching.alphas was [4.0, 6.0] and is [3.0]``; at most three, and
        how many more there are.
    """
    then, today = _known(then, today), _known(today, today)
    names = [name for name in {**today, **then} if _at(then, name) != _at(today, name)]
    shown = [
        f"{name} was {_shown(_at(then, name))} and is {_shown(_at(today, name))}"
        for name in names[:_SHOWN]
    ]
    if len(names) > _SHOWN:
        shown.append(f"{len(names) - _SHOWN} more values differ")
    return ", ".join(shown) or "the steps that make it have changed"


def _at(conditions: Mapping[str, Any], name: str) -> Any:
    return conditions.get(name, _NOT_THERE)


def _shown(value: Any) -> str:
    if value is _NOT_THERE:
        return "not there"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
