"""Tokens that mark an emotion."""

import logging

import pytest

from embedded_heads import load_model
from emotion_circuits.circuits.emotion_targets import marking_tokens
from emotion_circuits.errors import InputError
from emotion_circuits.prompts import EmotionSet
from study_emotions import FOUR


@pytest.fixture(scope="module")
def model(project_root):
    return load_model(project_root)


def of_words(**words):
    return EmotionSet(names=tuple(words), marking_words=words, target_metrics={})


def test_tokens_are_whole_words_of_one_emotion(model):
    for emotion, tokens in marking_tokens(model, FOUR).items():
        known = FOUR.marking_words[emotion]
        words = {f" {word}" for word in known} | {word.capitalize() for word in known}
        seen = {model.tokenizer.decode(token) for token in tokens}
        assert seen
        assert seen <= words


def test_a_word_that_is_split_marks_nothing_beside_whole_ones(model, caplog):
    # "Furious" is "F" and a rest, and "F" begins many words.
    assert len(model.tokenizer("Furious", add_special_tokens=False).input_ids) > 1
    (first, *_) = model.tokenizer("Furious", add_special_tokens=False).input_ids
    found = marking_tokens(model, of_words(anger=["furious"], apology=["sorry"]))
    assert first not in found["anger"].tolist()
    # Without any whole word, its first tokens stand for it, and the log says so.
    with caplog.at_level(logging.INFO):
        split = marking_tokens(model, of_words(anger=["zzyzxq"], apology=["sorry"]))
    assert len(split["anger"])
    assert "No word of anger (zzyzxq) is one token" in caplog.text


def test_an_emotion_without_a_token_of_its_own_is_one_line(model):
    with pytest.raises(InputError, match="anger begin with no token of their own"):
        marking_tokens(model, of_words(anger=["sorry"], apology=["sorry"]))
