"""One finished study for all tests of the frame, in whichever process they run."""

import fcntl
import json
import os
import shutil
import weakref
from pathlib import Path
from typing import NamedTuple

import pytest
from kedro.framework.startup import bootstrap_project

from emotion_circuits.datasets import language_model as dataset_module
from emotion_circuits.datasets.text_evaluator import resident_evaluators
from emotion_circuits.language_models.residency import resident
from studies import run


class Finished(NamedTuple):
    """A whole study, and what was in memory while it ran.

    Attributes:
        results: The results folder; not to be changed.
        loaded: The models that were loaded, in order.
        others_alive: For each of them how many of the others were still in memory.
        left: How many models and evaluators were in memory when all was done.
        evaluator_loads: How often the evaluators were loaded.
    """

    results: Path
    loaded: list[str]
    others_alive: list[int]
    left: int
    evaluator_loads: int


@pytest.fixture(scope="session")
def in_project(project_root):
    bootstrap_project(project_root)
    return project_root


@pytest.fixture
def project(in_project, monkeypatch):
    monkeypatch.chdir(in_project)
    monkeypatch.delenv("KEDRO_ENV", raising=False)
    return in_project


@pytest.fixture(scope="session")
def finished(in_project, tmp_path_factory):
    """Run the whole study, unless another process of this test run has done or does so."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "study.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "study.json").exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(in_project)
                patch.delenv("KEDRO_ENV", raising=False)
                seen = watched_run(in_project, shared / "study", patch)
            (shared / "study.json").write_text(json.dumps(seen))
        return Finished(shared / "study", **json.loads((shared / "study.json").read_text()))


def watched_run(project, results, patch):
    load, loaded, others_alive = dataset_module.load_language_model, [], []
    alive: list[weakref.ref] = []

    def watched(spec):
        others_alive.append(sum(reference() is not None for reference in alive))
        model = load(spec)
        loaded.append(spec.name)
        alive.append(weakref.ref(model.hf_model))
        return model

    patch.setattr(dataset_module, "load_language_model", watched)
    before = resident_evaluators.loads.copy()
    run(project, results)
    still = sum(reference() is not None for reference in alive)
    return {
        "loaded": loaded,
        "others_alive": others_alive,
        "left": still + len(resident) + len(resident_evaluators),
        "evaluator_loads": sum((resident_evaluators.loads - before).values()),
    }


@pytest.fixture
def copied(finished, tmp_path):
    """A results folder with the finished study, to be changed at will."""
    shutil.copytree(finished.results, tmp_path / "copy")
    return tmp_path / "copy"
