"""What a dry run says, and that it does nothing."""

import shutil

import click
import pytest
import yaml
from safetensors.torch import load_file

from emotion_circuits.errors import InputError
from emotion_circuits.language_models.size import count_parameters
from studies import SMALL, files_of, run

OTHER_ALPHA = {"residual_patching": SMALL["residual_patching"] | {"alphas": [3.0]}}


def said(capsys):
    """The cells of each line of the tables."""
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_another_strength_is_shown_and_nothing_is_touched(project, copied, capsys):
    before = {name: (copied / name).stat().st_mtime_ns for name in files_of(copied)}
    dry = {"dry_run": True, **OTHER_ALPHA}
    assert run(project, copied, parameters=dry, pipeline_names=["residual_patching"]) == {}
    lines = said(capsys)
    assert {name: (copied / name).stat().st_mtime_ns for name in files_of(copied)} == before
    for model in ("tiny_gpt2", "tiny_llama"):
        (line,) = [line for line in lines if line[:2] == ["residual_patching", model]]
        makes, keeps, seconds, unit = line[2:]
        assert int(makes) > 0
        assert int(keeps) == 0
        assert float(seconds) > 0
        assert unit == "s"
        weights = load_file(project / f"data/models/{model}/model.safetensors")
        (line,) = [line for line in lines if line[:1] == [model]]
        assert line[2] == f"{sum(tensor.numel() for tensor in weights.values()):,}"
    run(project, copied, parameters={"dry_run": True}, pipeline_names=["residual_patching"])
    (line,) = [line for line in said(capsys) if line[:2] == ["residual_patching", "tiny_gpt2"]]
    assert line[2] == "0"


def test_what_never_ran_is_said_and_no_folder_is_made(project, tmp_path, capsys):
    run(project, tmp_path, parameters={"dry_run": True}, pipeline_names=["emotion_vectors"])
    lines = said(capsys)
    assert ["dataset", "2", "0", "never"] in lines
    assert ["activations", "tiny_gpt2", "1", "0", "never"] in lines
    phases = [line[0] for line in lines if line[-1:] == ["never"]]
    assert phases == ["dataset", *["activations"] * 2, *["emotion_vectors"] * 2]
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_there_is_named_and_the_plan_is_shown(project, tmp_path, capsys):
    source = tmp_path / "conf"
    shutil.copytree(project / "conf", source)
    profile = source / "baseline_smoke" / "globals.yml"
    tables = yaml.safe_load(profile.read_text())
    tables["models"]["tiny_gpt2"]["source"] = str(tmp_path / "nothing")
    profile.write_text(yaml.safe_dump(tables))
    dry = {"parameters": {"dry_run": True}, "pipeline_names": ["activations"]}
    run(project, tmp_path / "results", conf_source=str(source), **dry)
    printed = capsys.readouterr().out
    assert "activations" in printed
    assert "model 'tiny_gpt2': there is no folder" in " ".join(printed.split())


def test_a_dry_run_is_wanted_or_not(project, tmp_path):
    with pytest.raises(click.ClickException, match="dry_run is 'yes'; allowed are true and false"):
        run(project, tmp_path, parameters={"dry_run": "yes"}, pipeline_names=["dataset"])


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="model 'm': there is no folder"):
        count_parameters("model 'm'", str(tmp_path / "nothing"), None)
