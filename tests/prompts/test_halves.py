"""Prompts that choose and prompts that report have nothing in common, whatever their order."""

import logging
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.prompts import choose_pairs, clusters_of, halve_clusters, halve_texts
from emotion_circuits.prompts.clusters import _say
from study_emotions import FOUR

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.mark.parametrize("n", [2, 3, 5, 8, 101])
def test_halves_share_nothing_and_leave_nothing_out(n):
    prompts = [f"prompt {number}" for number in range(n)]
    halves = halve_texts(prompts, 0)
    assert len(halves.select) == n // 2
    assert sorted(halves.select + halves.confirm) == sorted(prompts)
    assert not set(halves.select) & set(halves.confirm)


def test_halves_depend_on_the_seed_and_not_on_the_order():
    prompts = [f"prompt {number}" for number in range(40)]
    halves = halve_texts(prompts, 0)
    backwards = halve_texts(prompts[::-1], 0)
    assert set(backwards.select) == set(halves.select)
    assert set(halve_texts(prompts, 1).select) != set(halves.select)
    assert halves.select != prompts[:20]


sizes = st.lists(st.integers(1, 12), min_size=2, max_size=24)


@given(sizes=sizes, seed=st.integers(0, 99))
def test_halves_share_no_cluster_and_have_as_many(sizes, seed):
    clusters = [f"t{number}" for number, size in enumerate(sizes) for _ in range(size)]
    first = halve_clusters(["neutral"] * len(clusters), clusters, seed=seed)
    one, two = (set(np.array(clusters)[half]) for half in (first, ~first))
    assert one
    assert two
    assert not one & two
    assert abs(len(one) - len(two)) <= 1
    assert first.sum() <= len(first) / 2


def test_halves_are_balanced_in_every_label():
    """Templates of two kinds and many sizes; 45 to 55 % of each label are in each half."""
    rng = np.random.default_rng(0)
    labels, clusters = [], []
    for number, size in enumerate(rng.integers(3, 20, 40)):
        kind = ["gratitude", "neutral"] if number % 2 else ["anger", "apology", "neutral"]
        for label in kind:
            labels += [label] * int(size)
            clusters += [f"template {number}"] * int(size)
    shares = []
    for seed in range(20):
        first = halve_clusters(labels, clusters, seed=seed)
        shares += [first[np.array(labels) == label].mean() for label in set(labels)]
    assert 0.45 <= min(shares) <= max(shares) <= 0.55
    halvings = {tuple(halve_clusters(labels, clusters, seed=seed).tolist()) for seed in range(20)}
    assert len(halvings) > 15


def test_the_best_of_few_halves_is_found_by_trying_all():
    """A second implementation: all halves with neighbours apart, and the least imbalance."""
    sizes = [9, 8, 6, 3, 2, 1]
    clusters = [f"t{number}" for number, size in enumerate(sizes) for _ in range(size)]
    first = halve_clusters([""] * len(clusters), clusters, seed=3)
    imbalances = [
        abs(sum(s * (a - b) for s, a, b in zip(signs, sizes[::2], sizes[1::2], strict=True)))
        for signs in product((1, -1), repeat=3)
    ]
    assert abs(2 * first.sum() - len(clusters)) == min(imbalances) == 1


@pytest.mark.parametrize("name", ["emotion_dataset_embedded", "emotion_dataset"])
@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_halves_of_the_shipped_pairs_share_no_template(name, split):
    table = pd.read_json(DATA / f"{name}.jsonl", lines=True)
    chosen = choose_pairs(table, FOUR, split=split, limit=None)
    assert chosen["half"].groupby(chosen["cluster"]).nunique().max() == 1
    templates = table.set_index("text")["template_id"]
    assert (chosen["cluster"] == chosen["text"].map(templates)).all()
    for _, of_label in chosen.groupby("emotion"):
        assert 0.44 <= (of_label["half"] == "A").mean() <= 0.56


def test_halves_of_the_shipped_neutral_prompts_share_no_template():
    table = pd.read_json(DATA / "neutral_prompts_embedded.jsonl", lines=True)
    clusters = dict(zip(table["text"], clusters_of(table), strict=True))
    halves = halve_texts(table["text"].tolist(), 0, clusters)
    one, two = ({clusters[text] for text in half} for half in halves)
    assert (len(one), len(two)) == (6, 6)
    assert not one & two
    assert 99 <= len(halves.select) <= len(halves.confirm) <= 121


def test_a_pair_that_joins_templates_makes_one_cluster_of_them():
    table = pd.DataFrame(
        {
            "text": list("abcdefgh"),
            "pair_id": ["p", "p", "q", "q", "r", "r", "", ""],
            "template_id": ["t2", "t1", "t2", "t2", "t3", "t3", "", ""],
        }
    )
    assert clusters_of(table).tolist() == ["t1"] * 4 + ["t3"] * 2 + ["text g", "text h"]
    turned = clusters_of(table[::-1])
    assert turned[::-1].tolist() == clusters_of(table).tolist()


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        (["", "", "", "", "", ""], "6 of 6 texts have no template_id"),
        (["a", "a", "a", "a", "a", "a"], "all of one template"),
        (["a", "b", "b", "c", "c", "a"], "pairs join their templates"),
    ],
)
def test_without_templates_to_keep_apart_pairs_are_units_and_the_log_says_so_once(
    templates, message, caplog
):
    table = pd.DataFrame(
        {"text": list("abcdef"), "pair_id": list("ppqqrr"), "template_id": templates}
    )
    _say.cache_clear()
    with caplog.at_level(logging.INFO):
        assert clusters_of(table).tolist() == [f"pair {name}" for name in "ppqqrr"]
        clusters_of(table)
    assert len(caplog.records) == 1
    assert message in caplog.text


def planted_choice(rng, halves, effects, noise=0.3):
    """How much better the best of many conditions looks on the half that is to report it."""
    scores = effects + rng.normal(0, noise, effects.shape)
    choosing = np.isin(np.arange(effects.shape[1]), halves)
    best = scores[:, choosing].mean(axis=1).argmax()
    return scores[best, ~choosing].mean()


def test_a_choice_on_one_half_does_not_show_on_the_other():
    """Conditions without a mean effect that move each template at random (ICC about .5).

    Halves by text share their templates, and the chosen condition seems to work on the other half
    as well; halves by template leave its mean there at zero.
    """
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(12), 18)
    texts = np.arange(len(clusters))
    by_text, by_template = [], []
    for seed in range(300):
        effects = rng.normal(0, 0.3, (30, 12))[:, clusters]
        parts = rng.permutation(texts)[: len(texts) // 2]
        by_text.append(planted_choice(rng, parts, effects))
        first = halve_clusters([""] * len(texts), clusters.tolist(), seed=seed)
        by_template.append(planted_choice(rng, texts[first], effects))
    assert np.mean(by_text) > 0.1
    error = np.std(by_template, ddof=1) / np.sqrt(300)
    assert abs(np.mean(by_template)) < 3 * error
