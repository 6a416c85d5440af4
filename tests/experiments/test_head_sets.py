"""Sets of heads are chosen on one half of the prompts for the other."""

import pytest

from embedded_heads import load_model, score_table
from emotion_circuits.experiments.head_sets import heads_by_hand, top_heads
from emotion_circuits.experiments.heads import Head


@pytest.fixture(scope="module")
def model(project_root):
    return load_model(project_root)


def test_heads_are_chosen_on_the_other_half(model):
    def choose(table):
        return top_heads(model, table, score="drop_mean", top_k=3)

    table = score_table(model)
    before = choose(table).of_half
    spoiled = table.copy()
    spoiled.loc[spoiled["half"].isin(["A", "both"]), "drop_mean"] *= -1
    after = choose(spoiled).of_half
    assert before["A"] == after["A"]
    assert before["B"] != after["B"]
    for half, other in (("A", "B"), ("B", "A")):
        rows = table[table["half"] == other].nlargest(3, "drop_mean")
        assert set(before[half]) == set(zip(rows["layer"], rows["head"], strict=True))


def test_heads_by_hand_are_the_same_for_both_halves(model):
    chosen = heads_by_hand(model, "1:3 0:0")
    assert chosen.of_half == {half: (Head(0, 0), Head(1, 3)) for half in ("A", "B")}
