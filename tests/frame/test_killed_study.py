"""A study that is killed again and again ends as one that is not."""

import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

from emotion_circuits.provenance.record import RecordFolder
from emotion_circuits.run_lock import LOCK_NAME
from studies import MODELS, SMALL, files_of, files_of_study

STUDY = """
from kedro.framework.startup import bootstrap_project
from emotion_circuits.session import StudySession
bootstrap_project({project!r})
with StudySession.create({project!r}, env="baseline_smoke", runtime_params={runtime!r}) as session:
    session.run()
"""
# Each kill comes at a random moment in so many seconds after the run has begun.
N_KILLS, LONGEST = 6, 20.0
TIMES = "timing/phase_timings.jsonl"


@pytest.mark.slow
def test_the_same_command_after_kills_at_random_moments_gives_the_same_tree(
    project, finished, tmp_path
):
    random = np.random.default_rng(17)
    runtime = {**SMALL, "results_root": str(tmp_path)}
    command = [sys.executable, "-c", STUDY.format(project=str(project), runtime=runtime)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "baseline_smoke"
    killed = 0
    for _ in range(N_KILLS):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
            while not (folder / LOCK_NAME).exists() and process.poll() is None:
                time.sleep(0.05)
            time.sleep(random.uniform(0, LONGEST))
            process.kill()
        killed += process.returncode == -9
        # Nothing is half written at any moment: each file that has its name can be read.
        for path in folder.rglob("[!.]*.pkl"):
            pickle.loads(path.read_bytes())
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "The results folder's lock is taken over" in done.stderr
    assert killed >= N_KILLS / 2

    whole = finished.results / "baseline_smoke"
    assert files_of(folder) == files_of(whole) == files_of_study()
    digests, wanted = (
        {record.dataset: record.digest for record in RecordFolder(root / "provenance").all()}
        for root in (folder, whole)
    )
    assert digests == wanted
    # A pickle of tensors numbers them anew each time.
    tensors = {f"activations/{model}.pkl" for model in MODELS}
    for name in files_of_study() - tensors - {TIMES}:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    for name in tensors:
        first, second = (pickle.loads((root / name).read_bytes()) for root in (folder, whole))
        np.testing.assert_array_equal(first["resid_post"], second["resid_post"])
