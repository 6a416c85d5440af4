"""What an experiment is to run: rows for the engine, and what each of them stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emotion_circuits.interventions import Condition, Row, text_seed
from emotion_circuits.language_models import LanguageModel


@dataclass(frozen=True)
class Plan:
    """Rows and their coordinates.

    Attributes:
        rows: Prompts under conditions.
        coordinates: One line a row, ``prompt`` (its text) and ``kind`` among the columns.
    """

    rows: tuple[Row, ...]
    coordinates: pd.DataFrame

    @classmethod
    def of(cls, lines: Iterable[tuple[Row, Mapping[str, Any]]]) -> Plan:
        """Make a plan of rows, each with its coordinates by name; there may be none."""
        listed = list(lines)
        names = None if listed else ["prompt", "kind"]
        coordinates = pd.DataFrame([dict(where) for _, where in listed], columns=names)
        # Some lines have no layer or head; those that have one keep a whole number.
        whole = {name: "Int64" for name in ("layer", "head") if name in coordinates}
        coordinates = coordinates.astype(whole)
        return cls(tuple(row for row, _ in listed), coordinates)


def cross(
    model: LanguageModel,
    prompts: Sequence[str],
    conditions: Iterable[tuple[Condition, Mapping[str, Any]]],
) -> Plan:
    """Plan every prompt under every condition.

    Args:
        model: Whose tokens the prompts are read as.
        prompts: Texts.
        conditions: Each with its coordinates.

    Returns:
        The plan, conditions of one prompt together. A prompt has the same luck under every
        condition, where tokens are sampled.
    """
    listed = list(conditions)
    lines = []
    for prompt in prompts:
        ids, seed = tuple(model.encode(prompt)), text_seed(prompt)
        lines += [
            (Row(ids, condition, seed), {"prompt": prompt, **where}) for condition, where in listed
        ]
    return Plan.of(lines)
