"""Tables of a report from tables of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emotion_circuits.reporting.answers.numbers import UNKNOWN, number, p_value, with_interval
from emotion_circuits.reporting.blocks import TableBlock
from emotion_circuits.reporting.finite import to_number

Cell = Callable[[Mapping[str, Any]], str]


def table_of(
    caption: str, table: pd.DataFrame, cells: Mapping[str, Cell], *, note: str = ""
) -> list[TableBlock]:
    """Return a table as a block, or nothing if it has no lines.

    Args:
        caption: What the lines are.
        table: The lines.
        cells: By the heading of each column, from a line to its cell.
        note: A sentence below.
    """
    if table.empty:
        return []
    records: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    lines = tuple(tuple(cell(line) for cell in cells.values()) for line in records)
    return [TableBlock(caption, tuple(cells), lines, note)]


def text(name: str) -> Cell:
    """Return the cell of a text, or of a truth value as yes or no."""

    def cell(line: Mapping[str, Any]) -> str:
        value = line.get(name)
        if isinstance(value, bool | np.bool_):
            return "yes" if value else "no"
        return UNKNOWN if value is None or value == "" or pd.isna(value) else str(value)

    return cell


def value(name: str, digits: int = 2) -> Cell:
    """Return the cell of a number."""
    return lambda line: number(line.get(name), digits)


def count(name: str) -> Cell:
    """Return the cell of a whole number."""
    return lambda line: number(line.get(name), 0)


def p(name: str) -> Cell:
    """Return the cell of a p-value."""
    return lambda line: p_value(line.get(name))


def estimate(name: str, lower: str, upper: str, digits: int = 2) -> Cell:
    """Return the cell of a number with its interval."""
    return lambda line: with_interval(line.get(name), line.get(lower), line.get(upper), digits)


def dose(line: Mapping[str, Any]) -> str:
    """Return the cell of a strength."""
    known = to_number(line.get("alpha"))
    return UNKNOWN if known is None else f"{known:g}"


def where(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Return the lines with these values; none if a column is missing.

    A list stands for any of its values.
    """
    for column, wanted in values.items():
        if column not in table:
            return table.iloc[:0]
        is_list = isinstance(wanted, list | tuple)
        table = table[table[column].isin(list(wanted)) if is_list else table[column] == wanted]
    return table


def steering_layers(selection: pd.DataFrame, emotions: Sequence[str]) -> dict[str, int]:
    """Return the layer of steering of each emotion, where there is one."""
    chosen = where(selection, choice="headline", emotion=list(emotions))
    return {str(line["emotion"]): int(line["layer"]) for line in chosen.to_dict("records")}
