"""A folder is the old one or the new one, whenever the process that replaces it is killed."""

import os
import shutil
import subprocess
import sys

import pytest

from emotion_circuits.datasets.atomic_folder import atomic_folder, recover_folder
from emotion_circuits.datasets.project_paths import find_in_project

# In one process each: replaces a folder, and kills itself before the k-th call of Path.replace, or
# for 0 when the folder is half written.
REPLACE = """
import os, signal, sys
from pathlib import Path
from emotion_circuits.datasets.atomic_folder import atomic_folder
calls, replace = [], Path.replace
def counted(self, target):
    calls.append(target)
    if len(calls) == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = counted
for moment, target in enumerate(sys.argv[1:]):
    if (pid := os.fork()) == 0:
        with atomic_folder(Path(target)) as folder:
            (folder / "weights").write_text("new")
            if moment == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            (folder / "training.json").write_text("{}")
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
"""


def is_whole(folder):
    return (folder / "training.json").is_file()


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder as it is left by a kill at each moment."""
    targets = [tmp_path_factory.mktemp("killed") / "models" / "tiny" for _ in range(4)]
    for target in targets:
        target.mkdir(parents=True)
        for name in ("weights", "training.json"):
            (target / name).write_text("old")
    subprocess.run([sys.executable, "-c", REPLACE, *map(str, targets)], check=True)
    return targets


@pytest.fixture
def copied(killed, tmp_path):
    """A folder after a kill at one moment, to be changed at will."""

    def copy(moment):
        shutil.copytree(killed[moment].parents[1], tmp_path / "project")
        return tmp_path / "project" / "models" / "tiny"

    return copy


def test_a_finished_block_replaces_the_folder_and_an_error_keeps_it(tmp_path):
    target = tmp_path / "models" / "tiny"
    for text in ("first", "second"):
        with atomic_folder(target) as folder:
            (folder / "weights").write_text(text)
        assert (target / "weights").read_text() == text
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:
        (folder / "weights").write_text("half")
        raise RuntimeError
    assert (target / "weights").read_text() == "second"
    assert os.listdir(target.parent) == ["tiny"]


@pytest.mark.parametrize(
    ("moment", "there", "after"),
    [
        pytest.param(0, True, "old", id="while the new folder is written"),
        pytest.param(1, True, "old", id="before the old folder is moved"),
        pytest.param(2, False, "new", id="between the two renames"),
        pytest.param(3, True, "new", id="when all is done"),
    ],
)
def test_a_kill_at_each_moment_leaves_a_whole_folder(copied, moment, there, after):
    target = copied(moment)
    assert target.is_dir() is there
    assert recover_folder(target, is_whole) is not there
    assert (target / "weights").read_text() == after
    assert is_whole(target)
    assert os.listdir(target.parent) == ["tiny"]
    assert not recover_folder(target, is_whole)


def test_what_a_running_process_is_writing_is_left_alone(tmp_path):
    target = tmp_path / "tiny"
    with atomic_folder(target) as folder:
        (folder / "training.json").write_text("{}")
        assert not recover_folder(target, is_whole)
        assert folder.is_dir()
    assert is_whole(target)


def test_a_model_is_found_after_a_kill_between_the_two_renames(copied, monkeypatch, caplog):
    """The language model's dataset finds its folder by this function."""
    target = copied(2)
    root = target.parents[1]
    (root / "pyproject.toml").write_text(
        '[tool.kedro]\npackage_name="p"\nproject_name="p"\nkedro_init_version="1.7.0"\n'
    )
    monkeypatch.chdir(root)
    assert not target.exists()
    with caplog.at_level("WARNING", logger="emotion_circuits"):
        assert find_in_project("models/tiny") == str(target)
    assert (target / "weights").read_text() == "new"
    assert "was being replaced when a run was killed; it is back" in caplog.text
    assert find_in_project("openai-community/gpt2") == "openai-community/gpt2"
