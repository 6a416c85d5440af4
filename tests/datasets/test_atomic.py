"""A file is the old one or the new one, never half of it."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from emotion_circuits.datasets.atomic import atomic_path


def test_a_finished_block_puts_the_new_content_in_place(tmp_path):
    target = tmp_path / "folder" / "result.csv"
    with atomic_path(target) as path:
        assert path.parent == target.parent
        assert path.suffix == ".csv"
        path.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == ["result.csv"]


def test_an_exception_leaves_the_old_content_and_no_other_file(tmp_path):
    target = tmp_path / "result.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as path:
        path.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.csv"]


def test_a_killed_process_leaves_the_old_content(tmp_path):
    target = tmp_path / "result.csv"
    target.write_text("old")
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from emotion_circuits.datasets.atomic import atomic_path
        with atomic_path(Path({str(target)!r})) as path:
            path.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    finished = subprocess.run([sys.executable, "-c", script], check=False)
    assert finished.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_the_file_has_the_rights_of_any_other_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    with atomic_path(tmp_path / "atomic") as path:
        path.write_text("")
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode
