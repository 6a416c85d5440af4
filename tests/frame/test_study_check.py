"""What a late phase needs is checked before a model loads, and traps are said when they happen."""

import logging
import shutil

import click
import pytest
from kedro.framework.project import pipelines

from emotion_circuits.datasets import language_model as dataset_module
from emotion_circuits.session import StudySession
from emotion_circuits.study_check import StudyCheckHook
from studies import SMALL, run


@pytest.fixture
def without_models(monkeypatch):
    """No language model can be loaded."""

    def load(spec):
        raise AssertionError(f"{spec.name} is loaded")

    monkeypatch.setattr(dataset_module, "load_language_model", load)


def checked(project, results, conf_source=None, **parameters):
    """Check a whole study without running it."""
    runtime = {**SMALL, **parameters, "results_root": str(results)}
    with StudySession.create(
        project, env="baseline_smoke", conf_source=conf_source, runtime_params=runtime
    ) as session:
        catalog = session.load_context().catalog
        StudyCheckHook().before_pipeline_run(pipeline=pipelines["__default__"], catalog=catalog)


def profile_with(project, folder, line):
    """Copy the configuration with another line for fresh_prompts; give the folder."""
    shutil.copytree(project / "conf", folder / "conf")
    path = folder / "conf" / "baseline_smoke" / "globals.yml"
    text = path.read_text()
    assert "fresh_prompts: data/neutral_prompts_embedded.jsonl\n" in text
    path.write_text(text.replace("fresh_prompts: data/neutral_prompts_embedded.jsonl\n", line))
    return str(folder / "conf")


def test_fresh_prompts_that_are_the_datasets_own_are_said(project, tmp_path, caplog):
    source = profile_with(project, tmp_path, "")
    checked(project, tmp_path, conf_source=source)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "The profile's globals.yml names no fresh_prompts: split 'fresh' takes the neutral texts "
        "of emotion_dataset_embedded.jsonl that phase 1 left out, of the same templates as its own"
    ]
    caplog.clear()
    steering = SMALL["residual_patching"] | {"split": "test"}
    checked(project, tmp_path, conf_source=source, residual_patching=steering)
    checked(project, tmp_path)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_fresh_prompts_that_are_missing_stop_a_run_before_a_model_loads(
    project, tmp_path, without_models
):
    source = profile_with(project, tmp_path, "fresh_prompts: data/nothing.jsonl\n")
    with pytest.raises(click.ClickException, match=r"there is no file .*nothing\.jsonl"):
        run(project, tmp_path, conf_source=source, pipeline_names=["residual_patching"])


def test_fresh_prompts_that_the_dataset_has_already_stop_a_run_before_a_model_loads(
    project, tmp_path, without_models
):
    """Without a cap, phase 1 takes all texts of the file that they fall back to."""
    source = profile_with(project, tmp_path, "")
    everything = {"dataset": {"max_samples_per_emotion": None}}
    with pytest.raises(click.ClickException, match="beside the dataset has 0"):
        run(
            project,
            tmp_path,
            conf_source=source,
            parameters=everything,
            pipeline_names=["residual_patching"],
        )


def test_too_few_pairs_for_a_late_phase_stop_a_run_before_a_model_loads(
    project, tmp_path, without_models
):
    screening = {"head_screening": SMALL["head_screening"] | {"split": "test"}}
    line = r"1 pair\(s\) in split 'test' with limit 2 leave half"
    for _ in range(2):  # when phase 1 has made the prompts, and when they are there already
        with pytest.raises(click.ClickException, match=line):
            run(project, tmp_path, parameters=screening, pipeline_names=["head_screening"])
    assert (tmp_path / "baseline_smoke" / "dataset" / "emotion_dataset.jsonl").is_file()


def test_imported_vectors_that_are_missing_stop_a_run_before_a_model_loads(
    project, tmp_path, without_models
):
    files = {"imported_vectors": {"tiny_gpt2": {"anger": str(tmp_path / "none.gguf")}}}
    with pytest.raises(click.ClickException, match=r"none\.gguf"):
        run(project, tmp_path, parameters=files, pipeline_names=["residual_patching"])


def test_a_cap_that_leaves_texts_out_is_said(project, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="emotion_circuits"):
        run(project, tmp_path, pipeline_names=["dataset"])
    assert (
        "data/emotion_dataset_embedded.jsonl: 20 of 900 texts are used, since "
        "dataset.max_samples_per_emotion is 5; null uses all"
    ) in caplog.messages
