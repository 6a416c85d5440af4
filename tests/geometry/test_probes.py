"""Probes see what is there, and nothing where there is nothing."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from emotion_circuits.geometry import cosine_table, emotion_vectors, pool_positions
from emotion_circuits.geometry.probes import (
    Contrast,
    _contrast,
    _features,
    _scores,
    pairs_named_outright,
    probe_table,
)
from emotion_circuits.prompts import pair_texts
from emotion_circuits.statistics import estimate_auroc
from emotion_circuits.statistics.clusters import number_clusters
from study_emotions import FOUR


def table_of(activations, layers=None, **options):
    pooled = pool_positions(activations, FOUR, layers=layers)
    named = np.array([int(pair[4:]) % 2 == 0 for pair in activations["pair_ids"]])
    settings = {"n_shuffles": 20, "seed": 0} | options
    return probe_table(pooled, named, **settings)


def test_a_planted_emotion_is_read_and_shuffled_labels_are_not(make_activations):
    # Six standard deviations of the topic apart: no probe that works can miss it.
    table = table_of(make_activations(strength=6.0))
    read = table[(table["probe"] == "residual") & (table["subset"] == "all")]["auroc"]
    assert (read > 0.95).all()
    shuffled = table[table["probe"] == "residual_shuffled_labels"]
    assert ((shuffled["ci_lower"] <= 0.5) & (shuffled["ci_upper"] >= 0.5)).mean() > 0.9
    assert shuffled["auroc"].mean() == pytest.approx(0.5, abs=0.06)


def test_without_an_emotion_probes_are_at_chance(make_activations):
    # Topics are shared within a pair, so the contrast of two labels is noise alone.
    table = table_of(make_activations(strength=0.0))
    residual = table[(table["probe"] == "residual") & (table["subset"] == "all")]
    assert residual["auroc"].mean() == pytest.approx(0.5, abs=0.1)


def test_words_that_are_the_same_for_all_tell_nothing(activations):
    same = {**activations, "prompts": ["the same words"] * len(activations["prompts"])}
    words = table_of(same).query("probe == 'bag_of_words' and subset == 'all'")
    assert (words["auroc"] == 0.5).all()


def test_a_probe_is_a_logistic_regression_on_standardised_training_data(make_activations):
    data = make_activations(strength=0.15, n_pairs=30)
    pooled = pool_positions(data, FOUR)
    seen = table_of(data).query(
        "probe == 'residual' and layer == 1 and contrast == 'gratitude_vs_anger'"
        " and subset == 'all'"
    )
    rows = {
        split: np.concatenate([pooled.rows(label, split) for label in ("gratitude", "anger")])
        for split in ("train", "test")
    }
    train, test = (pooled.values[rows[split], 1] for split in ("train", "test"))
    mean, deviation = train.mean(0), train.std(0)
    probe = LogisticRegression(C=0.1, max_iter=5000)
    probe.fit((train - mean) / deviation, pooled.labels[rows["train"]] == "gratitude")
    scores = probe.decision_function((test - mean) / deviation)
    wanted = roc_auc_score(pooled.labels[rows["test"]] == "gratitude", scores)
    assert seen["auroc"].item() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("subject", ["labels", "shuffled labels"])
def test_a_stream_wider_than_there_are_prompts_gives_the_probes_of_all_its_entries(subject):
    rng = np.random.default_rng(0)
    labels = np.tile(["gratitude", "neutral"], 40)
    values = rng.normal(size=(80, 1, 300)) + 0.2 * (labels == "gratitude")[:, None, None]
    train, test = np.arange(60), np.arange(60, 80)
    truth = labels[train] == "gratitude"
    contrast = Contrast(train, test, truth, labels[test] == "gratitude", np.arange(len(test)))
    positive = truth if subject == "labels" else rng.permutation(truth)
    features = _features(values[:, 0], contrast)
    assert features.train.shape == (60, 60)
    mean, deviation = values[train, 0].mean(0), values[train, 0].std(0)
    plain = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8)
    plain.fit((values[train, 0] - mean) / deviation, positive)
    wanted = plain.decision_function((values[test, 0] - mean) / deviation)
    np.testing.assert_allclose(_scores(features, positive), wanted, atol=2e-3)


def test_subsets_split_the_held_out_prompts_by_pair(activations):
    table = table_of(activations).query("probe == 'residual' and layer == 0")
    sizes = table.pivot(index="contrast", columns="subset", values="n_test")
    assert (sizes["implicit"] + sizes["explicit"] == sizes["all"]).all()
    assert (sizes["implicit"] > 0).all()


def test_a_subset_without_a_label_says_why(make_activations):
    data = make_activations(n_pairs=4)
    named = np.zeros(len(data["labels"]), dtype=bool)
    table = probe_table(pool_positions(data, FOUR), named, n_shuffles=2, seed=0)
    explicit = table[table["subset"] == "explicit"]
    assert explicit["auroc"].isna().all()
    assert (explicit["reason"] == "a label has no test prompts in this subset").all()


def test_same_seed_same_table(activations):
    first, second = table_of(activations), table_of(activations)
    assert first.equals(second)


def test_a_neutral_text_counts_as_explicit_with_its_pair():
    named = pairs_named_outright(
        np.array(["a", "a", "b", "b"]),
        np.array(["anger", "neutral", "anger", "neutral"]),
        np.array([True, False, False, False]),
        neutral=FOUR.neutral,
    )
    assert named.tolist() == [True, True, False, False]


def test_of_pairs_made_by_length_not_all_are_explicit():
    """Eight texts of each emotion share two neutral ones; a third of them name their emotion."""
    lines = [("calm", "neutral", False, "train"), ("still", "neutral", False, "train")]
    lines += [
        (f"{emotion} {number}", emotion, number % 3 == 0, "train")
        for emotion in FOUR.names
        for number in range(8)
    ]
    table = pair_texts(pd.DataFrame(lines, columns=["text", "emotion", "explicit", "split"]), FOUR)
    columns = (table[name].to_numpy() for name in ("pair_id", "emotion", "explicit"))
    named = pairs_named_outright(*columns, neutral=FOUR.neutral)
    emotional = (table["emotion"] != "neutral").to_numpy()
    assert named[emotional].tolist() == table.loc[emotional, "explicit"].tolist()
    assert not named[~emotional].any()


def test_cosines_are_symmetric_and_one_on_the_diagonal(activations):
    vectors = emotion_vectors(pool_positions(activations, FOUR))
    table = cosine_table(vectors, [0, 1, 2])
    same = table[
        (table["emotion_a"] == table["emotion_b"]) & (table["layer_a"] == table["layer_b"])
    ]
    np.testing.assert_allclose(same["cosine"], 1)
    turned = table.rename(
        columns={
            "emotion_a": "emotion_b",
            "emotion_b": "emotion_a",
            "layer_a": "layer_b",
            "layer_b": "layer_a",
        }
    )
    keys = ["emotion_a", "emotion_b", "layer_a", "layer_b"]
    merged = table.merge(turned, on=keys, suffixes=("", "_turned"))
    assert len(merged) == len(table)
    np.testing.assert_allclose(merged["cosine"], merged["cosine_turned"])
    one = vectors["anger"][0] @ vectors["apology"][0]
    one /= np.linalg.norm(vectors["anger"][0]) * np.linalg.norm(vectors["apology"][0])
    row = table.query("emotion_a == 'anger' and emotion_b == 'apology' and layer_a == 0")
    assert row["cosine"].item() == pytest.approx(one)


def test_a_line_does_not_depend_on_which_other_lines_there_are(activations):
    """Streams are named by what they are for: another layer moves no interval."""
    every = table_of(activations)
    one = table_of(activations, layers=[1])
    kept = every[every["layer"].isna() | (every["layer"] == 1)].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, kept)


def test_intervals_are_over_clusters(make_activations):
    """Pairs of a template are one sample of the interval, and the estimate stays as it is."""
    data = make_activations(strength=0.3)
    pairs = [int(pair[4:]) for pair in data["pair_ids"]]
    templates = table_of({**data, "clusters": [f"template {pair // 6}" for pair in pairs]})
    each = table_of({**data, "clusters": [f"template {pair}" for pair in pairs]})
    # Both texts of a pair are of its scenario; without clusters that is the unit.
    pd.testing.assert_frame_equal(each, table_of(data))
    read = (templates["probe"] == "residual") & (templates["subset"] == "all")
    assert (templates.loc[read, "auroc"] == each.loc[read, "auroc"]).all()
    width = {
        name: (table["ci_upper"] - table["ci_lower"])[read].to_numpy()
        for name, table in (("templates", templates), ("each", each))
    }
    assert (width["templates"] >= width["each"]).mean() > 0.6
    pooled = pool_positions({**data, "clusters": [f"t{pair // 6}" for pair in pairs]}, FOUR)
    contrast = _contrast(pooled, ("gratitude", "anger"))
    scores = _scores(_features(pooled.values[:, 1], contrast), contrast.train_positive)
    names = pooled.clusters_at(contrast.test).tolist()
    wanted = estimate_auroc(scores, contrast.test_positive, clusters=number_clusters(names))
    line = templates[read & (templates["contrast"] == "gratitude_vs_anger")]
    line = line[line["layer"] == 1].iloc[0]
    assert (line["auroc"], line["ci_lower"], line["ci_upper"]) == pytest.approx(wanted)
