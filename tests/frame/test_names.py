"""Names become parts of paths, and none of them leads out of its folder."""

import json
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.framework.project import pipelines

from emotion_circuits.errors import InputError
from emotion_circuits.names import check_name
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.session import StudySession
from emotion_circuits.study import read_study
from studies import run

UNUSABLE = [
    *("../x", "..", ".", ".hidden", "a/b", "a\\b", "/abs", "a.b", "", " ", "a b", "-x", "a" * 81),
    *("\x1b[31m", "a\n", "~", "$HOME", "C:", "ä", "a\0b", 1, None, True, 1.5, ("a",)),
]


@pytest.mark.parametrize("name", UNUSABLE, ids=repr)
def test_a_name_that_a_path_could_obey_is_refused_in_one_line(name):
    with pytest.raises(InputError, match=r"name .* cannot be used; allowed are") as caught:
        check_name("model", name)
    assert str(caught.value).isprintable()
    with pytest.raises(InputError, match=r"model name|has no models"):
        read_study("p", {"models": {name: {"source": "x"}}})


@given(st.text(max_size=100))
def test_an_allowed_name_stays_in_its_folder(name):
    try:
        check_name("model", name)
    except InputError:
        return
    path = Path("/results/profile") / f"{name}_vs_{name}_token_based_full.pkl"
    assert path.resolve().parent == Path("/results/profile")
    assert not path.name.startswith(".")
    assert len(path.name.encode()) < 255


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a.b", "", "\x1b[2J", "a b", "x" * 81])
def test_an_emotion_that_a_path_could_obey_is_refused(name):
    with pytest.raises(InputError, match="cannot be an emotion"):
        EmotionSet(names=(name,))


def test_emotions_of_any_script_are_names():
    assert EmotionSet(names=("Ärger", "怒り"), target_metrics={}).names == ("Ärger", "怒り")


@pytest.mark.parametrize("env", ["../x", "../../etc", "/tmp", "baseline_smoke/../embedded", "."])
def test_a_profile_outside_of_conf_is_refused(project, tmp_path, env):
    (tmp_path / "x").mkdir()
    with pytest.raises(click.ClickException, match=r"profile name .* cannot be used"):
        run(project, tmp_path / "results", env=env)
    assert not (tmp_path / "results").exists()


def test_kedro_env_is_checked_like_env(project, tmp_path, monkeypatch):
    monkeypatch.setenv("KEDRO_ENV", "../data")
    with pytest.raises(click.ClickException, match=r"profile name '\.\./data' cannot be used"):
        run(project, tmp_path / "results", env=None)


@pytest.mark.parametrize("env", ["baseline_smoke", "real", "baseline"])
def test_every_output_of_every_pipeline_is_below_the_results_root(project, tmp_path, env):
    """But for the models and evaluators, which are trained into folders of their own."""
    roots = {name: str(tmp_path / name) for name in ("results_root", "models_root", "data_root")}
    roots["evaluators_root"] = str(tmp_path / "evaluators_root")
    with StudySession.create(project, env=env, runtime_params=roots) as session:
        catalog = session.load_context().catalog
    outputs = {name for each in pipelines.values() for name in each.all_outputs()}
    paths = {name: getattr(catalog.get(name), "_filepath", None) for name in sorted(outputs)}
    written = {name: Path(path) for name, path in paths.items() if path is not None}
    assert len(written) > 50
    outside = {n: p for n, p in written.items() if not p.resolve().is_relative_to(tmp_path)}
    assert not outside
    in_results = [p for p in written.values() if p.is_relative_to(tmp_path / "results_root")]
    assert len(in_results) > 40
    assert all(p.is_relative_to(tmp_path / "results_root" / env) for p in in_results)


@pytest.mark.parametrize(
    ("tables", "line"),
    [
        ({"models": ["gpt2"]}, r"models of profile 'p' are \['gpt2'\]; allowed is a table"),
        ({"models": "gpt2"}, "models of profile 'p' are 'gpt2'; allowed is a table"),
        ({"models": {"gpt2": "openai"}}, "model 'gpt2' of profile 'p' is 'openai'; allowed"),
        ({"models": {"a": {}}, "pairs": 3}, "pairs of profile 'p' are 3; allowed is a list"),
        ({"models": {"a": {}}, "pairs": ["ab"]}, r"pairs of profile 'p' are \['ab'\]"),
        ({"models": {"a": {}}, "pairs": [[["a"], "a"]]}, "model .* is not in profile"),
    ],
)
def test_tables_of_a_wrong_shape_are_one_line(tables, line):
    with pytest.raises(InputError, match=line):
        read_study("p", tables)


def test_the_command_line_in_the_timings_has_no_credentials(project, tmp_path, monkeypatch):
    secret = "hf_" + "x" * 30
    monkeypatch.setattr("sys.argv", ["kedro", "run", f"--params=hub.token={secret}"])
    run(project, tmp_path, pipeline_names=["dataset"])
    lines = (tmp_path / "baseline_smoke" / "timing" / "phase_timings.jsonl").read_text()
    assert secret not in lines
    assert json.loads(lines.splitlines()[0])["cli_args"] == ["run", "--params=hub.token=<hidden>"]
