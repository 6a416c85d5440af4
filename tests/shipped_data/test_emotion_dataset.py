"""The dataset that ships: what its page promises, counted from the files themselves.

The emotion words are listed here a second time, as whole words, so that the flag in the
file is checked against something other than the list that the pipeline uses.
"""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

DATA = Path(__file__).parents[2] / "data"
EMOTIONS = ("gratitude", "anger", "apology")
NAMED = re.compile(
    r"\b(appreciation|appreciates|angrier|thanks?|thanked|thanking|thankful|grateful|gratitude|appreciated?|indebted|obliged|"
    r"angry|anger|furious|fury|livid|mad|outraged?|outrageous|enraged|annoyed|annoyance|"
    r"irritated|fuming|seething|fed up|resent|infuriates|irate|"
    r"sorry|apolog(?:y|ies|ise|ised|ize|ized|ising)|forgive|forgiveness|regrets?|regretted|"
    r"ashamed|guilty|remorse|pardon)\b",
    re.IGNORECASE,
)


def read(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def rows():
    return read("emotion_dataset.jsonl")


@pytest.fixture(scope="module")
def scenarios(rows):
    grouped = defaultdict(dict)
    for row in rows:
        assert row["emotion"] not in grouped[row["pair_id"]]
        grouped[row["pair_id"]][row["emotion"]] = row
    return grouped


def words(text):
    return len(text.split())


def test_every_label_has_225_distinct_texts(rows):
    assert Counter(row["emotion"] for row in rows) == dict.fromkeys((*EMOTIONS, "neutral"), 225)
    assert len({row["text"].casefold() for row in rows}) == 900


def test_every_emotion_text_has_a_neutral_partner_on_the_same_scenario(scenarios):
    assert len(scenarios) == 225
    assert all(set(texts) == {*EMOTIONS, "neutral"} for texts in scenarios.values())


def test_about_half_name_the_emotion_and_the_others_do_not(rows):
    for row in rows:
        assert bool(NAMED.search(row["text"])) == row["explicit"], row["text"]
    for emotion in EMOTIONS:
        flags = [row["explicit"] for row in rows if row["emotion"] == emotion]
        assert 0.45 <= np.mean(flags) <= 0.55
    assert not any(row["explicit"] for row in rows if row["emotion"] == "neutral")


def test_lengths_are_matched(rows, scenarios):
    for texts in scenarios.values():
        lengths = [words(row["text"]) for row in texts.values()]
        assert max(abs(n - np.mean(lengths)) for n in lengths) <= 0.25 * np.mean(lengths)
    # Length alone must not tell an emotion from neutral, on characters or on words.
    for emotion in EMOTIONS:
        contrast = [row for row in rows if row["emotion"] in (emotion, "neutral")]
        label = [row["emotion"] == emotion for row in contrast]
        for size in (words, len):
            auroc = roc_auc_score(label, [size(row["text"]) for row in contrast])
            assert 0.4 <= auroc <= 0.6


def test_templates_stay_within_a_split(rows):
    splits = defaultdict(set)
    for row in rows:
        splits[row["template_id"]].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    held_out = np.mean([row["split"] == "test" for row in rows])
    assert 0.15 <= held_out <= 0.25
    both = {row["explicit"] for row in rows if row["split"] == "test" and row["emotion"] == "anger"}
    assert both == {True, False}


def test_each_cue_stands_once_in_its_text(rows):
    assert all(row["text"].count(row["cue"]) == 1 for row in rows)


def test_the_smoke_dataset_is_five_scenarios_of_the_dataset(rows):
    smoke = read("emotion_dataset_smoke.jsonl")
    assert Counter(row["emotion"] for row in smoke) == dict.fromkeys((*EMOTIONS, "neutral"), 5)
    assert all(row in rows for row in smoke)
    assert {(row["split"], row["explicit"]) for row in smoke if row["emotion"] == "anger"} == {
        (split, named) for split in ("train", "test") for named in (True, False)
    }
