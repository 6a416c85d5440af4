"""Nested results: every difference is found, none is invented, and each has a name."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.comparison import Tally, compare_nested

RESULT = {
    "model": "m",
    "alpha_values": [1.0, 2.0],
    "patch_window": None,
    "sweep_results": {
        "anger": {
            3: {
                2.0: {
                    "texts": {"I saw a lamp.": "It broke."},
                    "metrics": {"I saw a lamp.": {"goemotions": {"anger": 0.5, "joy": 0.1}}},
                }
            }
        }
    },
    "resid": torch.arange(6.0).reshape(2, 3),
    "heads": [(0, 1), (2, 3)],
    "head_scores": [
        {"layer": 0, "head": 1, "metric": "a/b", "delta_mean": 0.25},
        {"layer": 0, "head": 2, "metric": "a/b", "delta_mean": 0.5},
    ],
}


def compare(reference, candidate, tolerance=1e-3):
    return compare_nested(reference, candidate, new_tally=lambda: Tally(tolerance))


def failed(tallies):
    return {key for key, tally in tallies.items() if not tally.passed}


def test_a_result_equals_itself_in_any_container():
    same = copy.deepcopy(RESULT)
    same["alpha_values"] = np.array([1, 2])
    same["resid"] = same["resid"].numpy()
    same["heads"] = [[0, 1], [2, 3]]
    same["head_scores"] = same["head_scores"][::-1]
    tallies = compare(RESULT, same)
    assert not failed(tallies)
    assert tallies["resid"].rows == 6
    assert tallies["sweep_results.anger.*.*.metrics.*.goemotions.joy"].rows == 1


@pytest.mark.parametrize(
    ("change", "key", "largest"),
    [
        (lambda r: r.update(model="n"), "model", 0),
        (lambda r: r["resid"].add_(0.5), "resid", 0.5),
        (lambda r: r.update(patch_window=3), "patch_window", 0),
        (
            lambda r: r["head_scores"][1].update(delta_mean=0.75),
            "head_scores.*.delta_mean",
            0.25,
        ),
        (
            lambda r: r["sweep_results"]["anger"][3][2.0]["texts"].update({"I saw a lamp.": "x"}),
            "sweep_results.anger.*.*.texts.*",
            0,
        ),
        (
            lambda r: r["sweep_results"]["anger"][3][2.0]["metrics"]["I saw a lamp."][
                "goemotions"
            ].update(joy=float("nan")),
            "sweep_results.anger.*.*.metrics.*.goemotions.joy",
            0,
        ),
    ],
)
def test_a_change_fails_under_its_own_key_alone(change, key, largest):
    other = copy.deepcopy(RESULT)
    change(other)
    tallies = compare(RESULT, other)
    assert failed(tallies) == {key}
    assert tallies[key].largest == pytest.approx(largest)


def test_missing_keys_are_counted_on_their_side():
    other = copy.deepcopy(RESULT)
    del other["sweep_results"]["anger"][3][2.0]["texts"]["I saw a lamp."]
    other["sweep_results"]["anger"][4] = {}
    tallies = compare(RESULT, other)
    assert tallies["sweep_results.anger.*.*.texts.*"].missing_candidate == 1
    assert tallies["sweep_results.anger.*"].missing_reference == 1
    assert failed(tallies) == {"sweep_results.anger.*.*.texts.*", "sweep_results.anger.*"}


def test_arrays_of_another_shape_are_missing_on_both_sides():
    found = compare({"a": np.zeros((2, 3))}, {"a": np.zeros((3, 2))})["a"]
    assert (found.missing_reference, found.missing_candidate) == (6, 6)
    assert found.note == "shape [2, 3] against [3, 2]"


def test_containers_of_another_kind_differ():
    assert failed(compare({"a": {"b": 1}, "c": [1]}, {"a": [1], "c": None})) == {"a", "c"}


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20), st.sampled_from([0, 0.1]))
def test_numbers_pass_as_numpy_says(pairs, tolerance):
    first, second = (np.array(values) for values in zip(*pairs, strict=True))
    tally = Tally(tolerance)
    tally.add_numbers(first, second)
    with np.errstate(invalid="ignore", over="ignore"):
        close = np.isclose(
            second, first, rtol=0, atol=tolerance * np.maximum(1, np.abs(first)), equal_nan=True
        )
    assert tally.different == (~close).sum()
    one_by_one = Tally(tolerance)
    for pair in pairs:
        one_by_one.add(*pair)
    assert one_by_one.line()["different"] == tally.different
    assert one_by_one.largest == tally.largest
