"""The models of a profile's study and the pairs in which it compares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.names import check_name


@dataclass(frozen=True)
class Study:
    """Models and pairs of one profile.

    Attributes:
        profile: The Kedro environment's name.
        models: Model names, in the order of the profile's table.
        pairs: Pairs of models; the first model of a pair is mapped onto the second.
    """

    profile: str
    models: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


def read_study(profile: str, globals_: Mapping[str, Any]) -> Study:
    """Read a study from a profile's ``globals.yml``.

    Args:
        profile: The Kedro environment's name.
        globals_: ``models`` (name to model fields) and optionally ``pairs`` (lists of two names).

    Returns:
        The checked study. Without ``pairs``, each model is paired with each later one.

    Raises:
        InputError: If there is no model, a name cannot be part of a file name, a pair is not two
            different models of the profile, or a value has another shape.
    """
    table = globals_.get("models") or {}
    if not table:
        raise InputError(f"profile {profile!r} has no models; add 'models:' to its globals.yml")
    if not isinstance(table, Mapping):
        raise InputError(
            f"models of profile {profile!r} are {_shown(table)}; allowed is a table of names and "
            "fields, such as gpt2: {source: openai-community/gpt2}"
        )
    models = tuple(check_name("model", name) for name in table)
    for name, fields in table.items():
        if not isinstance(fields, Mapping):
            raise InputError(
                f"model {name!r} of profile {profile!r} is {_shown(fields)}; allowed are its "
                "fields, such as source: openai-community/gpt2"
            )
    listed = globals_.get("pairs")
    pairs = combinations(models, 2) if listed is None else _listed_pairs(profile, listed)
    return Study(profile, models, tuple(_check_pair(pair, models, profile) for pair in pairs))


def _listed_pairs(profile: str, listed: Any) -> list[tuple[Any, ...]]:
    if not isinstance(listed, list) or not all(isinstance(pair, list) for pair in listed):
        raise InputError(
            f"pairs of profile {profile!r} are {_shown(listed)}; allowed is a list of pairs, such "
            "as - [gpt2, pythia]"
        )
    return [tuple(pair) for pair in listed]


def _shown(value: object) -> str:
    return repr(value)[:60]


def _check_pair(pair: tuple[str, ...], models: tuple[str, ...], profile: str) -> tuple[str, str]:
    for name in pair:
        if name not in models:
            raise unknown_name("model", name, models, where=f"profile {profile!r}")
    if len(pair) != 2 or pair[0] == pair[1]:
        raise InputError(
            f"pair {list(pair)} in profile {profile!r}; a pair is two different models"
        )
    return pair[0], pair[1]
