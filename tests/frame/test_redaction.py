"""Credentials appear in no message and no timing line; other words that look like them do."""

import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.redaction import arguments_without_secrets, without_secrets

TOKEN = "hf_" + "aB3dE5fG7hJ9" * 3


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--params=hub.token=abc,seed=3"], ["--params=hub.token=<hidden>,seed=3"]),
        (["--params", "HF_TOKEN=abc"], ["--params", "HF_TOKEN=<hidden>"]),
        (["--token", "abc", "run"], ["--token", "<hidden>", "run"]),
        (["--api-key=abc def"], ["--api-key=<hidden>"]),
        ([f"--params=x={TOKEN}"], ["--params=x=<hidden>"]),
        (["--params=db.password=a=b"], ["--params=db.password=<hidden>"]),
        (
            ["--params=reference=https://me:pw@host/x"],
            ["--params=reference=https://<hidden>@host/x"],
        ),
    ],
)
def test_credentials_of_a_command_line_are_hidden(arguments, shown):
    assert arguments_without_secrets(arguments) == shown


@pytest.mark.parametrize(
    "argument",
    [
        "--env=baseline_smoke",
        "--params=residual_patching.new_tokens_only=true,max_tokens=5,author=me,tokenizer=x",
        "--pipelines=dataset",
        "--params=reference=results/a@b,candidate=results/hf_short",
    ],
)
def test_an_ordinary_command_line_is_stored_as_it_is(argument):
    assert arguments_without_secrets([argument]) == [argument]


def test_values_of_secret_variables_are_hidden_wherever_they_appear(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("MY_PASSWORD", "no")  # too short to be looked for in every text
    assert (
        without_secrets("cannot reach x?k=0123456789abcdef, no") == "cannot reach x?k=<hidden>, no"
    )
    assert str(InputError("bad 0123456789abcdef")) == "bad <hidden>"


def test_a_token_in_a_message_is_hidden():
    assert str(InputError(f"'m': {TOKEN} cannot be loaded")) == "'m': <hidden> cannot be loaded"
