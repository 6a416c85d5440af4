"""Two folders: what differs is named, what differs by nature is left out, errors are one line."""

import json
import pickle

import click
import numpy as np
import pandas as pd
import pytest
from kedro.framework.startup import bootstrap_project

from emotion_circuits.datasets import ResultsFolderDataset
from emotion_circuits.errors import InputError
from emotion_circuits.session import StudySession


def write(folder, effect=0.5, extra=()):
    for part in ("statistics", "vectors", "timing", "patching"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"emotion": ["anger"], "alpha": [1.0], "cohen_d": [effect]})
    table.to_csv(folder / "statistics" / "effect_sizes.csv", index=False)
    with (folder / "vectors" / "m.pkl").open("wb") as file:
        pickle.dump({"emotion_vectors": {"anger": np.ones((2, 3))}}, file)
    (folder / "report.json").write_text(json.dumps({"n": 1}))
    (folder / "prompts.jsonl").write_text('{"text": "2020-01-01", "emotion": "anger"}\n')
    (folder / "timing" / "phase_timings.jsonl").write_text(f'{{"seconds": {effect}}}\n')
    (folder / "patching" / ".m.checkpoint").write_text(str(effect))
    for name, content in extra:
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def project(project_root, monkeypatch):
    monkeypatch.chdir(project_root)
    monkeypatch.delenv("KEDRO_ENV", raising=False)
    bootstrap_project(project_root)
    return project_root


def run(project, tmp_path, **parameters):
    runtime = {"results_root": str(tmp_path / "out"), **parameters}
    with StudySession.create(project, env="baseline_smoke", runtime_params=runtime) as session:
        session.run(pipeline_names=["compare"])


def differences(tmp_path):
    path = tmp_path / "out" / "baseline_smoke" / "compare" / "differences.csv"
    return pd.read_csv(path, keep_default_na=False).set_index(["file", "key"])


def test_equal_results_end_well_though_times_differ(project, tmp_path):
    folders = [write(tmp_path / name, effect=0.5) for name in "ab"]
    (folders[1] / "timing" / "phase_timings.jsonl").write_text('{"seconds": 9}\n')
    (folders[1] / "patching" / ".m.checkpoint").unlink()
    run(project, tmp_path, reference=str(folders[0]), candidate=str(folders[1]))
    table = differences(tmp_path)
    assert set(table["passed"]) == {"True"} or table["passed"].all()
    assert not any("timing" in file for file, _ in table.index)


def test_a_difference_ends_the_run_after_the_table_is_written(project, tmp_path, caplog):
    folders = [write(tmp_path / "a", 0.5), write(tmp_path / "b", 0.75)]
    with pytest.raises(click.ClickException) as caught:
        run(project, tmp_path, reference=str(folders[0]), candidate=str(folders[1]))
    assert "1 of " in caught.value.message
    assert "cohen_d of statistics/effect_sizes.csv" in caught.value.message
    row = differences(tmp_path).loc["statistics/effect_sizes.csv", "cohen_d"]
    assert float(row["max_abs_difference"]) == float(row["mean_abs_difference"]) == 0.25
    assert "statistics/effect_sizes.csv" in caplog.text


def test_a_wider_tolerance_lets_it_pass(project, tmp_path):
    folders = [write(tmp_path / "a", 0.5), write(tmp_path / "b", 0.75)]
    tolerance = {"compare": {"tolerance": 0.3}}
    run(project, tmp_path, reference=str(folders[0]), candidate=str(folders[1]), **tolerance)


def test_files_of_one_side_and_unreadable_ones_are_named(project, tmp_path):
    evil = pickle.dumps(print)
    folders = [
        write(tmp_path / "a", extra=[("evil.pkl", evil), ("only.md", b"x")]),
        write(tmp_path / "b", extra=[("evil.pkl", evil), ("new.txt", b"x")]),
    ]
    with pytest.raises(click.ClickException):
        run(project, tmp_path, reference=str(folders[0]), candidate=str(folders[1]))
    table = differences(tmp_path)
    assert "builtins.print" in table.loc["evil.pkl", "(file)"]["note"]
    assert int(table.loc["only.md", "(file)"]["missing_candidate"]) == 1
    assert int(table.loc["new.txt", "(file)"]["missing_reference"]) == 1


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({}, "reference is missing; give two results folders"),
        ({"reference": "nowhere"}, "reference: there is no folder"),
        ({"reference": "{empty}"}, "holds no results"),
        ({"reference": "{empty}", "compare": {"tolerance": -1}}, "tolerance is -1"),
        ({"referense": "x"}, "nearest: reference"),
    ],
)
def test_a_mistake_is_one_line(project, tmp_path, parameters, line):
    (tmp_path / "empty").mkdir()
    given = {
        key: value.format(empty=tmp_path / "empty") if isinstance(value, str) else value
        for key, value in parameters.items()
    }
    with pytest.raises((click.ClickException, InputError)) as caught:
        run(project, tmp_path, **given)
    message = getattr(caught.value, "message", str(caught.value))
    assert line in message
    assert "\n" not in message


def test_texts_that_look_like_dates_stay_texts(tmp_path):
    found = ResultsFolderDataset(name="reference", filepath=write(tmp_path / "a")).load()
    assert found["prompts.jsonl"]()["text"].tolist() == ["2020-01-01"]
