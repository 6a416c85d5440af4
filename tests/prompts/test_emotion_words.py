"""Words that name an emotion are found as words."""

import pytest

from emotion_circuits.prompts import EmotionSet, emotion_word
from study_emotions import FOUR


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I am mad at you", "mad"),
        ("She made tea", ""),
        ("Thanks to Ben", "Thanks"),
        ("He drove off", ""),
        ("My apologies", "apologies"),
    ],
)
def test_emotion_words_are_found_as_words(text, found):
    assert emotion_word(text, FOUR) == found


def test_words_of_other_emotions_are_the_studys_marking_words():
    words = {"joy": ("glad", "c++"), "fear": ("afraid",)}
    emotions = EmotionSet(names=("joy", "fear", "awe"), marking_words=words)
    assert emotion_word("I am afraid, and Gladly so", emotions) == "afraid"
    assert emotion_word("I am afraid, and Gladly so", emotions, "joy") == "Gladly"
    assert emotion_word("I like C++", emotions) == "C++"  # a sign means itself
    assert emotion_word("Thanks, I am mad at you", emotions) == ""
    assert emotion_word("I am in awe", emotions, "awe") == ""  # of which no words are known
