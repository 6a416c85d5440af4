"""What a command's ``--model``, ``--model-a`` and ``--model-b`` choose among a profile's models."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.older_commands.commands import Command
from emotion_circuits.study import Study

# Names of models in older command lines, and here.
_ALIASES: Final = {"gpt2": "gpt2_small"}


def model_named(name: str | None, study: Study) -> str | None:
    """Return the profile's name of a model; None for None.

    Raises:
        InputError: If the profile has no such model.
    """
    if name is None or name in study.models:
        return name
    alias = _ALIASES.get(name)
    if alias in study.models:
        return alias
    raise unknown_name("model", name, study.models, where=f"profile {study.profile!r}")


def namespaces_of(command: Command, asked: Namespace, study: Study) -> list[str] | None:
    """Return the models or pairs that a command runs; None for all.

    Raises:
        InputError: If a model is not in the profile, or no pair has the models.
    """
    if command.scope == "model" and asked.model is not None:
        return [str(model_named(asked.model, study))]
    return _pairs(asked, study) if command.scope == "pairs" else None


def _pairs(asked: Namespace, study: Study) -> list[str] | None:
    """Return the pairs with the first, the second and the model in any place that were asked for.

    Without any of the three, these are all pairs of the profile.
    """
    model = model_named(asked.model, study)
    first, second = model_named(asked.model_a, study), model_named(asked.model_b, study)
    if not any((model, first, second)):
        return None
    names = [
        f"{a}_vs_{b}"
        for a, b in study.pairs
        if first in (None, a) and second in (None, b) and model in (None, a, b)
    ]
    if not names:
        known = ", ".join(f"{a} and {b}" for a, b in study.pairs) or "none"
        raise InputError(
            f"profile {study.profile!r} has no pair with first model {first or 'any'} and second "
            f"{second or 'any'}{f', one of them {model}' if model else ''}; known: {known}"
        )
    return names
