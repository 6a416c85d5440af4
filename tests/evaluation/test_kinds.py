"""Evaluators that are no classifier, and classifiers that read texts without emotion words."""

import re
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import EvaluatorSpec, TextEvaluator, check_evaluator, mask_words
from emotion_circuits.prompts.lexicon import STEMS

TEXTS = [
    "Thank you, thanks, I really appreciate it.",
    "I am so angry; you are mad, and the madam in charge hates this.",
    "Sorry! I apologise, and I regret it.",
    "The bus comes at noon.",
    "",
    "?!",
]


@pytest.fixture(scope="module")
def goemotions(project_root):
    return str(project_root / "data" / "models" / "goemotions")


def test_markers_are_counted_word_by_word():
    scores = TextEvaluator("cpu", {"markers": {"kind": "markers"}}).evaluate_batch(TEXTS)
    wanted = {  # counted by hand
        "gratitude": [3 / 7, 0, 0, 0, 0, 0],
        "anger": [0, 3 / 14, 0, 0, 0, 0],
        "apology": [0, 0, 3 / 7, 0, 0, 0],
        "politeness": [0, 0, 0, 0, 0, 0],
    }
    assert set(scores) == {f"markers/{label}" for label in wanted}
    for label, values in wanted.items():
        np.testing.assert_allclose(scores[f"markers/{label}"], values)


def test_markers_of_a_study_of_its_own():
    table = {"words": {"kind": "markers", "words": {"joy": ["glad", "joy$"], "fear": ["afraid"]}}}
    scores = TextEvaluator("cpu", table).evaluate_batch(["Gladly, joyful and full of joy", "x"])
    np.testing.assert_allclose(scores["words/joy"], [2 / 6, 0])
    np.testing.assert_allclose(scores["words/fear"], [0, 0])


def test_vader_is_the_packages_own():
    analyzer = pytest.importorskip("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()
    scores = TextEvaluator("cpu", {"sentiment": {"kind": "vader"}}).evaluate_batch(TEXTS)
    for place, text in enumerate(TEXTS):
        said = analyzer.polarity_scores(text)
        seen = {key.split("/")[1]: values[place] for key, values in scores.items()}
        assert seen == {
            "positive": said["pos"],
            "neutral": said["neu"],
            "negative": said["neg"],
            "compound": said["compound"],
        }
    assert scores["sentiment/compound"][0] > 0.5 > scores["sentiment/compound"][1]


@torch.no_grad()
def test_masked_scores_are_those_of_the_text_without_its_emotion_words(goemotions):
    table = {"goemotions": {"source": goemotions, "masked": True}}
    evaluator = TextEvaluator("cpu", table)
    scores = evaluator.evaluate_batch(TEXTS)
    tokenizer = AutoTokenizer.from_pretrained(goemotions)
    model = AutoModelForSequenceClassification.from_pretrained(goemotions).eval()
    assert tokenizer.mask_token is None  # so that the words are left out
    by_hand = [
        "you, , I really it.",
        "I am so ; you are , and the madam in charge this.",
        "! I , and I it.",
        *TEXTS[3:],
    ]
    for place, text in enumerate(by_hand):
        logits = model(**tokenizer(text, return_tensors="pt")).logits[0].double()
        wanted = logits.sigmoid().numpy()
        seen = [scores[f"goemotions_masked/{model.config.id2label[k]}"][place] for k in range(28)]
        np.testing.assert_allclose(seen, wanted, atol=1e-6)
    # A text without emotion words has one score, which the mask cannot move.
    for label in ("gratitude", "anger", "remorse"):
        plain, masked = scores[f"goemotions/{label}"], scores[f"goemotions_masked/{label}"]
        np.testing.assert_allclose(masked[3:], plain[3:], atol=1e-6)
        assert (np.abs(masked[:3] - plain[:3]) > 1e-3).any()


def test_the_keys_are_known_before_anything_is_loaded(goemotions):
    pytest.importorskip("vaderSentiment")
    table = {
        "goemotions": {"source": goemotions, "masked": True},
        "sentiment": {"kind": "vader"},
        "markers": {"kind": "markers"},
    }
    specs = EvaluatorSpec.from_table(table)
    foreseen = tuple(key for spec in specs for key in check_evaluator(spec))
    assert TextEvaluator("cpu", table).keys == foreseen
    assert len(foreseen) == 2 * 28 + 4 + 4


def test_without_a_mask_token_words_are_left_out():
    assert mask_words("Thank you, I am sorry.", "") == "you, I am ."
    assert mask_words("Two  blanks", "") == "Two  blanks"
    assert mask_words("Thanks \\1", "<mask>") == "<mask> \\1"


def test_every_stem_is_found_as_a_word_and_inside_none():
    for stem in (stem for stems in STEMS.values() for stem in stems):
        word = stem.removesuffix("$")
        assert mask_words(f"the {word}.", "#") == "the #."
        assert mask_words(f"the x{word}.", "#") == f"the x{word}."
        if stem.endswith("$"):
            assert re.search(rf"{word}x", mask_words(f"the {word}x.", "#"))


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({}, "a classifier needs a source"),
        ({"kind": "vader", "source": "a/b"}, "source is for kind transformers; this is kind vader"),
        ({"kind": "markers", "masked": True}, "masked is for kind transformers"),
        ({"source": "a/b", "words": {"joy": ["glad"]}}, "words are for kind markers"),
        ({"kind": "markers", "words": {"joy": []}}, "at least one word for each label"),
        ({"kind": "bert"}, "kind is 'bert'"),
    ],
)
def test_what_does_not_fit_its_kind_is_one_line(row, line):
    with pytest.raises(InputError, match=r"evaluator 'mood'") as error:
        EvaluatorSpec.from_table({"mood": row})
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_that_masking_takes_is_refused(goemotions):
    rows = {"a": {"source": goemotions, "masked": True}, "a_masked": {"kind": "markers"}}
    with pytest.raises(InputError, match="'a_masked' is an entry of its own"):
        EvaluatorSpec.from_table(rows)


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    spec = EvaluatorSpec(name="sentiment", kind="vader")
    with pytest.raises(InputError, match=r"needs the package vaderSentiment; install emotion-circ"):
        check_evaluator(spec)
