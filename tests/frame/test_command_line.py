"""The command line and notebooks, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.cli.registry import list_registered_pipelines
from nbclient import NotebookClient


def kedro(*arguments):
    return subprocess.run(
        [str(Path(sys.executable).parent / "kedro"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )


def test_the_command_line_works_and_errors_end_with_one_line(project, tmp_path):
    parameters = f"--params=results_root={tmp_path},dataset.max_samples_per_emotion=5"
    command = ["run", "--env=baseline_smoke", parameters]
    good = kedro(*command, "--pipelines=dataset")
    assert good.returncode == 0, good.stderr
    bad = kedro(*command, "--namespaces=tiny_gtp2")
    assert bad.returncode == 1
    last = bad.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: model 'tiny_gtp2' is not in profile 'baseline_smoke'")
    assert "Traceback" not in bad.stderr


def test_the_phases_are_listed(project):
    listed = CliRunner().invoke(list_registered_pipelines)
    assert listed.exit_code == 0
    assert "emotion_vectors" in yaml.safe_load(listed.output)


def test_the_notebook_lines_work(project, finished):
    script = f"""
from IPython.testing.globalipapp import start_ipython
shell = start_ipython()
shell.run_line_magic("load_ext", "kedro.ipython")
shell.run_line_magic(
    "reload_kedro", "--env=baseline_smoke --params=results_root={finished.results}"
)
vectors = shell.user_ns["catalog"].load("tiny_gpt2.emotion_vectors")
assert set(vectors["emotion_vectors"]) == {{"gratitude", "anger", "apology"}}
model = shell.user_ns["catalog"].load("tiny_gpt2.language_model")
assert model.n_layers == 5
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=project / "notebooks"
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    "notebook",
    sorted(Path(__file__).parents[2].glob("notebooks/*.ipynb")),
    ids=lambda path: path.stem,
)
def test_notebooks_run_from_top_to_bottom(project, finished, notebook):
    cells = nbformat.read(notebook, as_version=4)
    cells.cells[1].source += f"\n%reload_kedro --params results_root={finished.results}"
    client = NotebookClient(cells, timeout=120, resources={"metadata": {"path": project}})
    client.execute()
    printed = [output for cell in cells.cells for output in cell.get("outputs", [])]
    assert any(output.output_type == "execute_result" for output in printed)
