"""What is there is used, and a killed run goes on where it was."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from emotion_circuits.interventions.engine import run as engine
from studies import N_PATCHED, SMALL, phase_5_files, run
from study_emotions import FOUR


def test_what_is_there_is_not_computed_again(project, copied):
    activations = copied / "baseline_smoke" / "activations" / "tiny_gpt2.pkl"
    written = activations.stat().st_mtime_ns
    run(project, copied, pipeline_names=["emotion_vectors"])
    assert activations.stat().st_mtime_ns == written


def test_a_pickle_with_a_foreign_class_is_refused_by_name(project, copied):
    path = copied / "baseline_smoke" / "activations" / "tiny_gpt2.pkl"
    path.write_bytes(pickle.dumps({"model_name": Path("x")}))
    with pytest.raises(click.ClickException, match=r"tiny_gpt2\.pkl: pickle names pathlib\."):
        run(project, copied, pipeline_names=["emotion_vectors"])


def test_a_run_after_a_failed_one_is_timed_by_itself(project, tmp_path):
    """In one process, such as a notebook's: the node that failed is measured anew."""
    only = {"pipeline_names": ["activations"], "namespaces": ["tiny_gpt2"]}
    with pytest.raises(click.ClickException, match="layer 9 is out of range"):
        run(project, tmp_path, parameters={"activations": {"layers": [9]}}, **only)
    begun = time.monotonic()
    run(project, tmp_path, **only)
    took = time.monotonic() - begun
    timings = tmp_path / "baseline_smoke" / "timing" / "phase_timings.jsonl"
    event = json.loads(timings.read_text().splitlines()[-1])
    assert event["phase"] == "activations"
    assert 0 < event["elapsed_seconds"] < took
    assert event["metadata"]["peak_rss_mib"] > 50


BEGIN = """
import os, signal, pickle
from kedro.framework.startup import bootstrap_project
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.session import StudySession
bootstrap_project({project!r})
"""
END = """
with StudySession.create({project!r}, env="baseline_smoke", runtime_params={runtime!r}) as session:
    session.run(**{arguments!r})
"""
TORN = """
dump = pickle.dump
def torn(data, file, **options):
    file.write(pickle.dumps(data)[:1000]); file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
pickle.dump = torn
"""
DYING = """
begin, add, saved = Checkpoint.open, Checkpoint.add, []
def save_every_batch(self, model):
    self.every_seconds = 0.0
    return begin(self, model)
Checkpoint.open = save_every_batch
def add_and_die(self, digests, results):
    add(self, digests, results)
    saved.append(len(digests))
    if len(saved) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoint.add = add_and_die
"""


def run_and_be_killed(project, results, deed, parameters, **arguments):
    """Run in a process of its own, which kills itself as the deed says."""
    runtime = {**SMALL, **parameters, "results_root": str(results)}
    script = BEGIN.format(project=str(project)) + deed
    script += END.format(project=str(project), runtime=runtime, arguments=arguments)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, env=environment
    )
    assert done.returncode == -9, done.stderr.decode()[-2000:]


def test_a_killed_run_leaves_no_half_file_and_is_resumed(project, tmp_path):
    """SIGKILL at the moment the first activations are being written."""
    run_and_be_killed(project, tmp_path, TORN, {}, pipeline_names=["activations"])
    assert not (tmp_path / "baseline_smoke" / "activations" / "tiny_gpt2.pkl").exists()
    run(project, tmp_path, pipeline_names=["activations"], only_missing_outputs=True)
    assert (tmp_path / "baseline_smoke" / "activations" / "tiny_llama.pkl").is_file()


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_to_the_same_result(project, finished, copied):
    """SIGKILL when two batches of the sweep were saved; the next run redoes no finished row."""
    parameters = {"residual_patching": SMALL["residual_patching"] | {"rows": 4}}
    only = {"pipeline_names": ["residual_patching"], "namespaces": ["tiny_gpt2"]}
    for name in ("patching", "patching_random"):
        shutil.rmtree(copied / "baseline_smoke" / name)
    run_and_be_killed(project, copied, DYING, parameters, **only)
    folder = copied / "baseline_smoke" / "patching" / "residual"
    assert [path.name for path in folder.iterdir()] == [".tiny_gpt2_residual_sweep.checkpoint"]
    saved = len((folder / ".tiny_gpt2_residual_sweep.checkpoint").read_text().splitlines()) - 1
    n_emotions = len(FOUR.names)
    n_rows = N_PATCHED * (1 + n_emotions * 2)  # the baseline, and each emotion at two layers
    assert 0 < saved < n_rows

    generated = []
    generate = engine.generate_batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            engine,
            "generate_batch",
            lambda model, rows, *given, **options: (
                generated.append(len(rows)) or generate(model, rows, *given, **options)
            ),
        )
        run(project, copied, parameters=parameters, **only)
    n_controls = N_PATCHED * n_emotions * 3  # one control direction of each kind
    assert sum(generated) == n_rows - saved + n_controls
    for name in phase_5_files("tiny_gpt2"):
        killed, whole = (root / "baseline_smoke" / name for root in (copied, finished.results))
        if name.endswith("_sweep.pkl"):
            one, other = (without_rows(path) for path in (killed, whole))
            assert one == other, name
        else:
            assert killed.read_bytes() == whole.read_bytes(), name
    assert not list(copied.rglob("*.checkpoint"))


def without_rows(path):
    """A sweep but for how many rows ran together, which is among its settings."""
    with path.open("rb") as file:
        sweep = pickle.load(file)
    assert sweep["metadata"].pop("rows") in (4, "auto")
    return repr(sweep)
