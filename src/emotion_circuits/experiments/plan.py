"""Plans of experiments: rows for the engine, and their coordinates."""

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
        coordinates: One line per row, with the columns ``prompt`` (its text), ``kind`` and others.
    """

    rows: tuple[Row, ...]
    coordinates: pd.DataFrame

    @classmethod
    def of(cls, lines: Iterable[tuple[Row, Mapping[str, Any]]]) -> Plan:
        """Make a plan from rows and their coordinates by name; there may be none."""
        listed = list(lines)
        names = None if listed else ["prompt", "kind"]
        coordinates = pd.DataFrame([dict(where) for _, where in listed], columns=names)
        # Lines without a layer or head would turn the column into floats.
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
        model: The model whose tokenizer encodes the prompts.
        prompts: Texts.
        conditions: Each condition with its coordinates.

    Returns:
        The plan, with all conditions of a prompt together. If tokens are sampled, a prompt draws
        the same numbers under every condition.
    """
    listed = list(conditions)
    lines = []
    for prompt in prompts:
        ids, seed = tuple(model.encode(prompt)), text_seed(prompt)
        lines += [
            (Row(ids, condition, seed), {"prompt": prompt, **where}) for condition, where in listed
        ]
    return Plan.of(lines)
