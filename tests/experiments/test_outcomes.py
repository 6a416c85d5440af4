"""The table of outcomes is read by coordinates and names, and loops over its lines agree."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.experiments import FLUENCY, Outcomes, join, metric_name
from emotion_circuits.experiments.outcomes import nest

KEYS = ("goemotions/joy", "a/b/c")
LINES = st.lists(
    st.fixed_dictionaries(
        {
            "prompt": st.sampled_from(["p", "q", "r"]),
            "kind": st.sampled_from(["baseline", "emotion", "random"]),
            "layer": st.sampled_from([None, 0, 3]),
            "text": st.text(max_size=3),
            "fluency": st.floats(0, 9),
            **dict.fromkeys(KEYS, st.floats(0, 1)),
        }
    ),
    min_size=1,
    max_size=12,
)


def outcomes_of(lines):
    return Outcomes(pd.DataFrame(lines).astype({"layer": "Int64"}))


def lines_of(outcomes):
    return outcomes.table["text"].tolist(), outcomes.values([*KEYS, FLUENCY]).tolist()


def wanted(lines):
    return [line["text"] for line in lines], [
        [line[key] for key in (*KEYS, "fluency")] for line in lines
    ]


@given(lines=LINES)
def test_lines_are_kept_by_their_coordinates_in_their_order(lines):
    outcomes = outcomes_of(lines)
    assert len(outcomes) == len(lines)
    assert lines_of(outcomes) == wanted(lines)
    assert lines_of(outcomes.baseline) == wanted([x for x in lines if x["kind"] == "baseline"])
    for several in (["p", "r"], ("p", "r"), {"p", "r"}):
        seen = outcomes.where(prompt=several, layer=3)
        kept = [line for line in lines if line["prompt"] in several and line["layer"] == 3]
        assert lines_of(seen) == wanted(kept)


@given(lines=LINES)
def test_groups_come_in_the_order_of_their_first_lines_and_missing_values_agree(lines):
    groups: dict[tuple, list] = {}
    for line in lines:
        groups.setdefault((line["prompt"], line["layer"]), []).append(line)
    seen = list(outcomes_of(lines).groups(["prompt", "layer"]))
    places = [(at["prompt"], None if pd.isna(at["layer"]) else at["layer"]) for at, _ in seen]
    assert places == list(groups)
    assert [lines_of(part) for _, part in seen] == [wanted(part) for part in groups.values()]


@given(lines=LINES, cut=st.integers(0, 12))
def test_what_is_cut_and_joined_is_the_whole(lines, cut):
    whole = outcomes_of(lines)
    parts = Outcomes(whole.table[:cut]), Outcomes(whole.table[cut:])
    assert lines_of(join(parts)) == lines_of(whole)


def test_columns_are_told_apart_by_their_names():
    line = {"prompt": "p", "kind": "baseline", "text": "", "token_ids": (1,), "fluency": 1.0}
    outcomes = Outcomes(pd.DataFrame([line | dict.fromkeys(KEYS, 0.5)]))
    assert outcomes.coordinates == ("prompt", "kind")
    assert outcomes.metrics == KEYS
    assert outcomes.keys == (*KEYS, FLUENCY)
    without = Outcomes(outcomes.table.drop(columns="fluency"))
    assert without.keys == KEYS


def test_scores_are_read_by_their_names():
    table = pd.DataFrame({"a/b/c": [1.0], "a/d": [2.0], "fluency": [3.0]})
    assert Outcomes(table).values(["a/d", FLUENCY, "a/b/c"]).tolist() == [[2.0, 3.0, 1.0]]
    assert Outcomes(table[:0]).values(["a/d"]).shape == (0, 1)


def test_an_effect_does_not_depend_on_which_scores_are_read_beside_it():
    """To the last bit: numpy adds in another order where one column lies in one piece."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((999, 5)), columns=[f"m/{name}" for name in "abcde"])
    outcomes = Outcomes(table)
    beside_one = outcomes.values(["m/c", "m/a"]).mean(axis=0)[0]
    assert outcomes.values().mean(axis=0)[2] == beside_one


@pytest.mark.parametrize(
    ("key", "name"), [("goemotions/joy", "goemotions.joy"), ("a/b/c", "a.b/c")]
)
def test_only_the_first_slash_parts_metric_and_label(key, name):
    assert metric_name(key) == name
    metric, label = name.split(".")
    assert nest({key: 0.123456789}) == {metric: {label: 0.123456789}}
    assert nest({key: 0.123456789}, digits=3) == {metric: {label: 0.123}}
