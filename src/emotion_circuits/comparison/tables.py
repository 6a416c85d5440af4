"""Comparison of two tables: lines are matched by coordinates, values compared by column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd

from emotion_circuits.comparison.tally import Tally

# Columns, and keys of records, that identify a line; all others are values. The profile is not
# among them, so that results of two profiles can be compared.
COORDINATES: Final = frozenset(
    {
        *("phase", "model", "model_name", "source_model", "model_a", "model_b", "vector"),
        *("emotion", "emotion_a", "emotion_b", "steered", "against", "contrast", "label"),
        *("layer", "layer_a", "layer_b", "head", "head_spec", "head_set", "alpha", "k"),
        *("comparison", "metric", "metric_name", "paired", "variant", "control", "half", "kind"),
        *("index", "number", "prompt", "prompt_index", "pair_id", "probe", "subset", "reader"),
        *("what", "direction", "mode", "ablation", "predictor", "measured", "text"),
        *("target_effect_size", "target_power"),
    }
)
# Key for whole lines that one table lacks.
ROW: Final = "(row)"


def compare_tables(
    reference: pd.DataFrame, candidate: pd.DataFrame, *, new_tally: Callable[[], Tally]
) -> dict[str, Tally]:
    """Compare two tables.

    Lines are matched by the ``COORDINATES`` that both tables have; lines with equal coordinates,
    and all lines of tables without coordinates, are matched by order.

    Args:
        reference: The table that is taken as correct.
        candidate: The table to compare with the reference.
        new_tally: Creates an empty tally.

    Returns:
        A tally for each column that is not a coordinate, and one under ``(row)`` for lines that
        only one table has.
    """
    keys = [n for n in reference.columns if n in COORDINATES and n in candidate.columns]
    indexed = [_indexed(table, keys) for table in (reference, candidate)]
    tallies = {ROW: new_tally()}
    shared = indexed[0].index.intersection(indexed[1].index)
    tallies[ROW].rows = len(shared)
    tallies[ROW].missing_candidate = len(indexed[0]) - len(shared)
    tallies[ROW].missing_reference = len(indexed[1]) - len(shared)
    first, second = (table.loc[shared] for table in indexed)
    for name in first.columns:
        tallies[name] = new_tally()
        if name in second.columns:
            _compare_columns(first[name], second[name], tallies[name])
        else:
            tallies[name].missing_candidate = len(first)
    for name in second.columns.difference(first.columns):
        tallies[name] = new_tally()
        tallies[name].missing_reference = len(second)
    return tallies


def _indexed(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Move the coordinates into the index, as floats or texts, so that equal ones match."""
    if not keys:
        return table.reset_index(drop=True)
    index = pd.DataFrame(
        {
            name: table[name].astype(float)
            if pd.api.types.is_numeric_dtype(table[name])
            else table[name].astype(str).where(table[name].notna(), "")
            for name in keys
        }
    )
    index["occurrence"] = index.groupby(keys, dropna=False).cumcount()
    index = index.fillna(-1.0)  # NaN never equals NaN, but missing coordinates must match
    return table.drop(columns=keys).set_index(pd.MultiIndex.from_frame(index))


def _compare_columns(first: pd.Series, second: pd.Series, tally: Tally) -> None:
    values = [pd.to_numeric(column, errors="coerce") for column in (first, second)]
    blanks = [column.isna() for column in (first, second)]
    if all(bool((v.isna() == b).all()) for v, b in zip(values, blanks, strict=True)):
        tally.add_numbers(*(v.to_numpy(dtype=float, na_value=np.nan) for v in values))
        return
    texts = [column.astype(str).where(column.notna(), "") for column in (first, second)]
    tally.rows += len(first)
    tally.different += int((texts[0].to_numpy() != texts[1].to_numpy()).sum())
