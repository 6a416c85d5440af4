"""The models of a profile's study and the pairs in which it compares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from emotion_circuits.errors import InputError, unknown_name


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
        InputError: If there is no model, a name cannot be a Kedro namespace, or a pair is not two
            different models of the profile.
    """
    models = tuple(globals_.get("models") or {})
    if not models:
        raise InputError(f"profile {profile!r} has no models; add 'models:' to its globals.yml")
    for name in models:
        if "." in str(name) or not str(name):
            raise InputError(
                f"model name {name!r} holds a dot; names are Kedro namespaces, use - or _"
            )
    listed = globals_.get("pairs")
    pairs = combinations(models, 2) if listed is None else (tuple(pair) for pair in listed)
    return Study(profile, models, tuple(_check_pair(pair, models, profile) for pair in pairs))


def _check_pair(pair: tuple[str, ...], models: tuple[str, ...], profile: str) -> tuple[str, str]:
    for name in pair:
        if name not in models:
            raise unknown_name("model", name, models, where=f"profile {profile!r}")
    if len(pair) != 2 or pair[0] == pair[1]:
        raise InputError(
            f"pair {list(pair)} in profile {profile!r}; a pair is two different models"
        )
    return pair[0], pair[1]
