"""Pairs fall into halves that no later choice can mix."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.errors import InputError
from emotion_circuits.prompts import choose_pairs, pair_indices
from study_emotions import FOUR


def table(n_pairs, n_test=0):
    rows = [
        {
            "text": f"{label} {pair}",
            "emotion": label,
            "pair_id": f"p{pair}",
            "split": "test" if pair < n_test else "train",
            "cue": label,
        }
        for pair in range(n_pairs)
        for label in FOUR.labels
    ]
    return pd.DataFrame(rows)


def halves(chosen):
    return {half: set(rows["pair_id"]) for half, rows in chosen.groupby("half")}


@given(
    n_pairs=st.integers(4, 15),
    first=st.sampled_from(["train", "all"]),
    limits=st.tuples(st.integers(2, 16), st.integers(2, 16)),
)
def test_a_pair_is_in_the_same_half_whatever_is_chosen(n_pairs, first, limits):
    prompts = table(n_pairs, n_test=n_pairs // 2)
    one = halves(choose_pairs(prompts, FOUR, split=first, limit=limits[0]))
    shuffled = prompts.sample(frac=1, random_state=0)
    two = halves(choose_pairs(shuffled, FOUR, split="all", limit=limits[1]))
    assert not one["A"] & one["B"]
    assert not one["A"] & two["B"]
    assert not one["B"] & two["A"]


def test_halves_are_as_large_as_each_other_and_hold_whole_pairs():
    chosen = choose_pairs(table(9), FOUR, split="train", limit=None)
    sizes = {half: len(pairs) for half, pairs in halves(chosen).items()}
    assert sizes == {"A": 5, "B": 4}
    assert (chosen.groupby("pair_id")["emotion"].apply(tuple) == FOUR.labels).all() or all(
        tuple(labels) == FOUR.labels for labels in chosen.groupby("pair_id")["emotion"].apply(list)
    )
    assert chosen["half"].groupby(chosen["pair_id"]).nunique().max() == 1
    few = choose_pairs(table(9), FOUR, split="train", limit=3)
    assert {half: len(pairs) for half, pairs in halves(few).items()} == {"A": 2, "B": 1}


def test_the_order_of_the_table_does_not_matter():
    prompts = table(7)
    wanted = choose_pairs(prompts, FOUR, split="all", limit=4)
    turned = choose_pairs(prompts[::-1], FOUR, split="all", limit=4)
    pd.testing.assert_frame_equal(wanted, turned)


def test_pairs_are_joined_by_their_neutral_text():
    prompts = table(4)
    twice = prompts[prompts["text"] == "anger 2"].assign(text="anger again")
    chosen = choose_pairs(pd.concat([prompts, twice]), FOUR, split="all", limit=None)
    pairs = pair_indices(chosen, FOUR, "anger")
    assert len(pairs) == 5
    for ours, neutral in pairs:
        assert chosen["emotion"].iloc[ours] == "anger"
        assert chosen["text"].iloc[neutral] == f"neutral {chosen['pair_id'].iloc[ours][1:]}"


def test_a_pair_without_its_neutral_partner_is_one_line():
    prompts = table(4)
    broken = prompts[prompts["text"] != "neutral 1"]
    with pytest.raises(InputError, match=r"pair 'p1' has gratitude, anger, apology but no neutral"):
        choose_pairs(broken, FOUR, split="all", limit=None)
    doubled = pd.concat([prompts, prompts[prompts["text"] == "neutral 1"].assign(text="other")])
    with pytest.raises(InputError, match=r"pair 'p1' has 2 neutral texts; allowed is 1"):
        choose_pairs(doubled, FOUR, split="all", limit=None)


def test_neutral_texts_without_a_partner_are_left_out():
    prompts = table(4)
    alone = prompts[~((prompts["pair_id"] == "p1") & (prompts["emotion"] != "neutral"))]
    chosen = choose_pairs(alone, FOUR, split="all", limit=None)
    assert set(chosen["pair_id"]) == {"p0", "p2", "p3"}


def test_too_few_pairs_for_two_halves_are_refused():
    with pytest.raises(
        InputError, match=r"1 pair\(s\) in split 'test' .* half B empty; at least two"
    ):
        choose_pairs(table(4, n_test=1), FOUR, split="test", limit=None)
