"""Messages are one line that a terminal shows and does not obey."""

import logging
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.errors import InputError, printable, unknown_name
from emotion_circuits.log_lines import PlainFormatter
from emotion_circuits.session import StudySession


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


def logged(formatter, message, arguments=(), fault=None):
    record = logging.LogRecord("test", logging.WARNING, "f", 1, message, arguments, fault)
    return formatter.format(record)


def test_log_lines_show_what_a_terminal_would_obey():
    plain = PlainFormatter(logging.Formatter("%(levelname)-9s %(message)s"))
    assert logged(plain, "in %s", ("a\x1b[2Jb\r",)) == "WARNING   in a\\x1b[2Jb\\r"
    token = "hf_" + "x" * 30
    assert logged(plain, token) == "WARNING   <hidden>"


def test_a_traceback_in_the_log_keeps_its_lines_and_indents():
    plain = PlainFormatter(logging.Formatter("%(message)s"))
    try:
        raise ValueError("bad \x1b[31m name")
    except ValueError:
        lines = logged(plain, "failed", (), sys.exc_info()).splitlines()
    assert lines[:2] == ["failed", "Traceback (most recent call last):"]
    assert lines[2].startswith('  File "')
    assert lines[-1] == "ValueError: bad \\x1b[31m name"


def test_a_session_logs_plainly(project):
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        with StudySession.create(project) as session:
            session.load_context()
        with StudySession.create(project) as session:
            session.load_context()
        assert isinstance(handler.formatter, PlainFormatter)
        assert not isinstance(handler.formatter.inner, PlainFormatter)  # wrapped once
    finally:
        logging.getLogger().removeHandler(handler)
