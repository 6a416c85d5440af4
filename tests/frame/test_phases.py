"""Phases are small and stand each by itself."""

import ast
from pathlib import Path

import pytest

PIPELINES = Path(__file__).parents[2] / "src" / "emotion_circuits" / "pipelines"
PHASES = sorted(path.name for path in PIPELINES.iterdir() if (path / "pipeline.py").is_file())
USUAL = {"__init__.py", "pipeline.py", "nodes.py", "settings.py"}


def imported(path):
    """Name every module a file imports, and every name it imports from one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_all_phases_are_looked_at():
    assert {"dataset", "activations", "residual_patching", "statistics"} <= set(PHASES)
    assert len(PHASES) >= 11


@pytest.mark.parametrize("phase", PHASES)
def test_no_phase_imports_another(phase):
    names = [name for path in (PIPELINES / phase).rglob("*.py") for name in imported(path)]
    of_phases = [name for name in names if name.startswith("emotion_circuits.pipelines.")]
    assert of_phases  # else the test would look at nothing
    assert {name.split(".")[2] for name in of_phases} == {phase}
    assert "emotion_circuits.pipelines" not in names


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_is_a_few_files(phase):
    beside = {path.name for path in (PIPELINES / phase).rglob("*.py")} - USUAL
    assert len(beside) <= 3, beside
