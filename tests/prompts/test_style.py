"""Style keeps function words and punctuation, and of any other word only its ending."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.prompts.style import ENDINGS, FUNCTION_WORDS, style_of, tokenize, words_of


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("Dana quickly mended my old lamp.", "other -ly -ed my other other ."),
        ("I wasn't told; Omar's mother was.", "i wasn't other ; -s -er was ."),
        ("I wasn’t told: “No.”", "i wasn't other : “ no . ”"),
        ("The tallest of 12 boxes, going up!", "the -est of 12 -s , going up !"),
        ("Élodie mangeait à 3.5 €", "other other other 3 . 5 €"),
        ("", ""),
    ],
)
def test_content_words_are_reduced_to_their_ending(text, style):
    assert " ".join(style_of(text)) == style


def test_words_are_in_lower_case_without_numbers_and_marks():
    assert words_of("It's 5 o'clock, Dana - NOW!") == ["it's", "o'clock", "dana", "now"]


@given(st.text(max_size=60))
def test_any_text_has_one_style_token_per_token(text):
    tokens, style = tokenize(text), style_of(text)
    assert len(style) == len(tokens)
    allowed = FUNCTION_WORDS | {f"-{ending}" for ending in ENDINGS} | {"other"}
    for token, reduced in zip(tokens, style, strict=True):
        assert reduced in allowed if token[0].isalpha() else reduced == token
    # No letter or digit is lost.
    assert re.sub(r"[\W_]", "", "".join(tokens)) == re.sub(r"[\W_]", "", text.lower())


def test_content_cannot_be_seen_in_the_style():
    assert style_of("Dana repaired the lamp") == style_of("Omar smashed the vase")
