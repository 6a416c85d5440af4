"""One run at a time writes to a results folder, and a killed run locks nobody out."""

import json
import os
import signal
import subprocess
import sys

import click
import psutil
import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.leftovers import remove_leftovers
from emotion_circuits.process_identity import ProcessIdentity
from emotion_circuits.run_lock import LOCK_NAME, locked
from studies import run

HOLD = """
import sys, time
from pathlib import Path
from emotion_circuits.run_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
# Many processes add one to a number, each under the lock, and each as often as it gets it.
COUNT = """
import sys
from pathlib import Path
from emotion_circuits.errors import InputError
from emotion_circuits.run_lock import locked
folder, done = Path(sys.argv[1]), 0
number = folder.parent / "number"
while done < 20:
    try:
        with locked(folder):
            number.write_text(str(int(number.read_text()) + 1))
            done += 1
    except InputError as error:
        assert "in use by process" in str(error), error
"""


@pytest.fixture
def holding(tmp_path):
    """A process that holds the lock of a folder."""
    folder = tmp_path / "results"
    command = [sys.executable, "-c", HOLD, str(folder), "600"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield folder, process
    finally:
        process.kill()
        process.communicate()


def test_a_second_run_is_refused_with_the_first_ones_process_and_start(holding):
    folder, process = holding
    line = f"in use by process {process.pid} on .*, started 20.*UTC"
    with pytest.raises(InputError, match=line), locked(folder):
        pass
    assert (folder / LOCK_NAME).is_file()  # still held


def test_the_lock_of_a_killed_run_is_taken_over_with_one_line(holding, caplog):
    folder, process = holding
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / LOCK_NAME).is_file()
    with caplog.at_level("WARNING", logger="emotion_circuits"), locked(folder):
        held = json.loads((folder / LOCK_NAME).read_text())
        assert held["pid"] == os.getpid()
    assert f"taken over from process {process.pid}" in caplog.text
    assert not (folder / LOCK_NAME).exists()


def test_another_process_with_the_number_of_a_killed_one_does_not_hold_its_lock(tmp_path):
    me = ProcessIdentity.of_this_process()
    assert me.is_alive()
    assert me.started == pytest.approx(psutil.Process().create_time())
    former = me._replace(started=me.started - 3600)
    assert not former.is_alive()
    (tmp_path / LOCK_NAME).write_text(json.dumps(former._asdict()))
    with locked(tmp_path):
        pass


def test_a_process_of_another_machine_counts_as_running(tmp_path):
    other = ProcessIdentity(pid=1, started=0.0, host="elsewhere")
    (tmp_path / LOCK_NAME).write_text(json.dumps(other._asdict()))
    with pytest.raises(InputError, match="process 1 on elsewhere"), locked(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", '{"pid": 12', "[]", '{"pid": null}'])
def test_a_torn_lock_file_is_nobodys(tmp_path, text):
    (tmp_path / LOCK_NAME).write_text(text)
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()


def test_the_lock_is_not_held_twice_in_one_process_and_is_given_back_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path):
        with pytest.raises(InputError, match="in use"), locked(tmp_path):
            pass
        raise RuntimeError
    with locked(tmp_path):
        pass


def test_a_lock_that_another_run_holds_by_now_is_not_deleted(tmp_path):
    other = ProcessIdentity(pid=1, started=0.0, host="elsewhere")
    with locked(tmp_path):
        (tmp_path / LOCK_NAME).write_text(json.dumps(other._asdict()))
    assert (tmp_path / LOCK_NAME).is_file()


def test_folders_in_which_nothing_was_written_are_removed_and_others_are_not(tmp_path):
    with locked(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "kept").write_text("")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    line = r"results folder '.*file/baseline' cannot be written: Not a directory"
    with pytest.raises(InputError, match=line), locked(tmp_path / "file" / "baseline"):
        pass


def test_processes_that_compete_for_the_lock_hold_it_one_after_the_other(tmp_path):
    """Without the lock, increments of one process overwrite those of another."""
    (tmp_path / "number").write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path / "results")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert (tmp_path / "number").read_text() == "60"


def test_a_run_is_refused_while_another_one_writes_there(project, tmp_path):
    refused = pytest.raises(click.ClickException, match=f"in use by process {os.getpid()}")
    with locked(tmp_path / "baseline_smoke"), refused:
        run(project, tmp_path, pipeline_names=["dataset"])
    run(project, tmp_path, pipeline_names=["dataset"])
    names = [path.name for path in (tmp_path / "baseline_smoke").iterdir()]
    assert sorted(names) == ["dataset", "provenance", "timing"]


def test_temporary_files_of_killed_runs_are_removed_and_nothing_else_is(tmp_path, caplog):
    kept = ["a.csv", ".m_sweep.checkpoint", ".hidden", "b.tmp", ".lock", "x/.tmp/c.csv"]
    gone = [".a.abcd_123.tmp.csv", "x/.m.pkl.00000000.tmp", "x/..m_sweep.checkpoint.new"]
    for name in [*kept, *gone]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    with caplog.at_level("INFO", logger="emotion_circuits"):
        removed = remove_leftovers(tmp_path)
    assert sorted(removed) == sorted(tmp_path / name for name in gone)
    assert all((tmp_path / name).is_file() for name in kept)
    assert caplog.messages == ["3 temporary files of a killed run were removed"]
