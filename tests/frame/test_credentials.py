"""The hub's token comes from conf/local or the environment, and goes nowhere else."""

import os
import shutil

import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.language_models.hub import TOKEN_VARIABLE
from emotion_circuits.session import StudySession
from studies import SMALL

TOKEN = "hf_0123456789abcdefghij"


@pytest.fixture
def copied(project, tmp_path, monkeypatch):
    """The project's configuration in a folder of its own, and no token in the environment."""
    shutil.copytree(project / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "local").mkdir(exist_ok=True)
    monkeypatch.setenv(TOKEN_VARIABLE, "")  # restored afterwards
    monkeypatch.delenv(TOKEN_VARIABLE)
    return tmp_path / "conf"


def open_study(project, conf, tmp_path):
    session = StudySession.create(
        project,
        env="baseline_smoke",
        conf_source=str(conf),
        runtime_params={"results_root": str(tmp_path / "results"), **SMALL},
    )
    session.load_context()
    return session


def test_a_token_in_conf_local_reaches_requests_of_the_hub(
    project, copied, tmp_path, monkeypatch, caplog
):
    (copied / "local" / "credentials.yml").write_text(f"hub:\n  token: {TOKEN}\n")
    session = open_study(project, copied, tmp_path)
    assert os.environ[TOKEN_VARIABLE] == TOKEN
    session.run(pipeline_names=["dataset"])
    assert TOKEN not in caplog.text
    for path in (tmp_path / "results").rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()

    monkeypatch.setenv(TOKEN_VARIABLE, "hf_of_the_environment")
    open_study(project, copied, tmp_path)
    assert os.environ[TOKEN_VARIABLE] == "hf_of_the_environment"


@pytest.mark.parametrize("entry", ["hub: hf_abc", "hub:\n  token: ''", "hub:\n  name: x"])
def test_an_entry_of_another_form_is_one_line_without_its_value(project, copied, tmp_path, entry):
    (copied / "local" / "credentials.yml").write_text(entry)
    with pytest.raises(InputError, match=r"allowed for hub is \{token: <text>\}$") as caught:
        open_study(project, copied, tmp_path)
    assert "hf_abc" not in str(caught.value)


def test_without_credentials_nothing_changes(project, copied, tmp_path):
    open_study(project, copied, tmp_path)
    assert TOKEN_VARIABLE not in os.environ
