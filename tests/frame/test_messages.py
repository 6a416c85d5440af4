"""Messages are one line that a terminal shows and does not obey."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.errors import InputError, printable, unknown_name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("model \x1b[2J\x1b]0;title\x07", r"model \x1b[2J\x1b]0;title\x07"),
        ("two\r\nlines\ttab", "two lines tab"),
        ("\x9b31m red", r"\x9b31m red"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("half \ud83d", r"half \ud83d"),
        ("häuser 你好 😀 é", "häuser 你好 😀 é"),
    ],
)
def test_what_a_terminal_obeys_is_written_as_an_escape(text, shown):
    assert printable(text) == shown
    assert str(InputError(text)) == shown


@given(st.text(st.characters()))
def test_a_message_holds_no_control_character_and_can_be_written(text):
    message = str(unknown_name("model", text, [text, "gpt2"], where=text))
    message.encode("utf-8")
    assert not {unicodedata.category(mark) for mark in message} & {"Cc", "Cs", "Zl", "Zp"}


def test_a_message_is_not_as_long_as_the_file_it_is_about():
    assert len(str(InputError("x" * 10**6))) < 4100
    assert str(InputError("x" * 4000)) == "x" * 4000
