"""Tables are compared by what their rows are about, not by their order."""

import numpy as np
import pandas as pd
import pytest

from emotion_circuits.comparison import Tally, compare_tables

TABLE = pd.DataFrame(
    {
        "model_name": "m",
        "emotion": ["anger", "anger", "gratitude", "baseline"],
        "layer": pd.array([1, 2, 1, None], dtype="Int64"),
        "alpha": [1.0, 1.0, 1.0, 0.0],
        "cohen_d": [0.5, 0.25, np.nan, 2.0],
        "significant": [True, False, False, True],
        "reason": ["", None, "few", ""],
    }
)


def compare(reference, candidate, tolerance=1e-3):
    return compare_tables(reference, candidate, new_tally=lambda: Tally(tolerance))


def failed(tallies):
    return {key for key, tally in tallies.items() if not tally.passed}


def test_a_table_equals_itself_in_any_order_and_after_a_file(tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    other = pd.read_csv(tmp_path / "t.csv").sample(frac=1, random_state=1)
    tallies = compare(TABLE, other)
    assert not failed(tallies)
    assert tallies["(row)"].rows == 4
    assert set(tallies) == {"(row)", "cohen_d", "significant", "reason"}


def test_a_changed_value_fails_in_its_column():
    other = TABLE.copy()
    other.loc[0, "cohen_d"] = 0.7
    other.loc[2, "significant"] = True
    tallies = compare(TABLE, other)
    assert failed(tallies) == {"cohen_d", "significant"}
    assert tallies["cohen_d"].largest == pytest.approx(0.2)
    assert tallies["cohen_d"].total / tallies["cohen_d"].n_numbers == pytest.approx(0.2 / 3)


def test_missing_rows_and_columns_are_counted_on_their_side():
    other = TABLE.drop(columns="reason").drop(index=1).assign(more=1)
    other.loc[9] = ["m", "apology", 1, 1.0, 0.0, True, 1]
    tallies = compare(TABLE, other)
    assert (tallies["(row)"].missing_reference, tallies["(row)"].missing_candidate) == (1, 1)
    assert tallies["reason"].missing_candidate == 3
    assert tallies["more"].missing_reference == 3
    assert failed(tallies) == {"(row)", "reason", "more"}


def test_rows_that_agree_in_all_coordinates_are_matched_in_their_order():
    twice = pd.concat([TABLE, TABLE.assign(cohen_d=9.0)], ignore_index=True)
    assert not failed(compare(twice, twice))
    assert failed(compare(twice, twice.iloc[::-1])) == {"cohen_d"}


def test_a_table_without_coordinates_is_compared_by_place():
    table = pd.DataFrame({"value": [1.0, 2.0]})
    assert not failed(compare(table, table))
    assert compare(table, table.iloc[::-1])["value"].different == 2
