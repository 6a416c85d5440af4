"""Runs that are logged to MLflow, and runs that are not."""

import os
import subprocess
import sys

import click
import pytest

from studies import run


def test_without_kedro_mlflow_tracking_is_one_line(project, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kedro_mlflow.framework.hooks", None)
    with pytest.raises(click.ClickException, match=r"pip install 'emotion-circuits\[tracking\]'"):
        run(project, tmp_path, parameters={"tracking": True}, pipeline_names=["dataset"])


def test_tracking_is_on_or_off(project, tmp_path):
    with pytest.raises(click.ClickException, match="tracking is 'yes'; allowed are true and false"):
        run(project, tmp_path, parameters={"tracking": "yes"}, pipeline_names=["dataset"])


@pytest.mark.slow  # needs the extra, and MLflow takes ten seconds to make its tables
@pytest.mark.filterwarnings("ignore:The ``noload``:DeprecationWarning")  # of MLflow itself
@pytest.mark.parametrize("tracking", [True, False])
def test_a_run_is_logged_if_it_asks_for_it(project, tmp_path, tracking):
    mlflow = pytest.importorskip("mlflow")
    parameters = f"--params=results_root={tmp_path},tracking={str(tracking).lower()}"
    selected = ["--pipelines=emotion_vectors", "--namespaces=tiny_gpt2"]
    subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--env=baseline_smoke", parameters, *selected],
        check=True,
        cwd=project,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )
    database = tmp_path / "mlflow.db"
    assert database.exists() == tracking
    if not tracking:
        return
    client = mlflow.MlflowClient(f"sqlite:///{database}")
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.info.status == "FINISHED"
    assert logged.data.params["dataset.max_samples_per_emotion"] == "5"
    seconds = {name for name in logged.data.metrics if name.startswith("seconds/")}
    of_model = {f"seconds/{phase}/tiny_gpt2" for phase in ("activations", "emotion_vectors")}
    assert seconds == {"seconds/dataset"} | of_model
    figures = client.list_artifacts(logged.info.run_id, "figures")
    assert [figure.path for figure in figures] == ["figures/tiny_gpt2.probe_figure.html"]
