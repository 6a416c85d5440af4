"""Distinct texts are the samples, whatever order and number they come in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.statistics import average_draws, average_repeats, pair_by_text

VALUES = st.lists(
    st.tuples(st.sampled_from("abcde"), st.floats(-1, 1, allow_nan=False)), min_size=1, max_size=20
)


@given(VALUES, st.randoms())
def test_order_does_not_matter(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    first = average_repeats([text for text, _ in pairs], [value for _, value in pairs])
    second = average_repeats([text for text, _ in shuffled], [value for _, value in shuffled])
    assert list(first.values) == list(second.values) == sorted(first.values)
    assert first.n_repeated == second.n_repeated == len(pairs) - len(first.values)
    np.testing.assert_allclose(
        list(first.values.values()), list(second.values.values()), atol=1e-12
    )


@given(st.floats(-1, 1), st.integers(1, 7))
def test_equal_repeats_keep_their_value_to_the_last_bit(value, times):
    sample = average_repeats(["a"] * times, [value] * times)
    assert sample.values["a"] == value
    assert sample.n_repeated == times - 1


def test_unequal_repeats_are_averaged():
    assert average_repeats("aab", [1.0, 2.0, 5.0]).values == {"a": 1.5, "b": 5.0}


def test_pairs_are_made_by_text_and_those_without_a_number_are_counted():
    before = average_repeats("abcd", [1.0, np.nan, 3.0, 4.0])
    after = average_repeats("edcba", [9.0, np.inf, 7.0, 6.0, 5.0])
    pairs = pair_by_text(before, after)
    assert pairs.texts == ("a", "c")
    np.testing.assert_array_equal(pairs.baseline, [1, 3])
    np.testing.assert_array_equal(pairs.patched, [5, 7])
    assert pairs.n_nan == 2


def test_random_draws_are_averaged_text_by_text():
    first, second = average_repeats("ab", [1.0, 2.0]), average_repeats("bac", [4.0, 3.0, 1.0])
    mean = average_draws([first, second]).values
    assert mean["a"] == 2
    assert mean["b"] == 3
    assert np.isnan(mean["c"])
