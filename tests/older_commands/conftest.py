"""The project's folder as the current one, and the modules of older commands."""

import importlib

import pytest
from kedro.framework.startup import bootstrap_project


@pytest.fixture(scope="module")
def in_project(project_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project_root)
        patch.delenv("KEDRO_ENV", raising=False)
        patch.syspath_prepend(project_root)
        bootstrap_project(project_root)
        yield project_root


@pytest.fixture(scope="module")
def main(in_project):
    """Run a command, such as ``analysis.run_phase2_activations``, in this process."""

    def run(module, *arguments):
        importlib.import_module(f"src.{module}").main([str(word) for word in arguments])

    return run
