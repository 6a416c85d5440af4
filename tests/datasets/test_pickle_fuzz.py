"""Mutated pickles are read or refused; they do not crash the process, fill it or act in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pickle_fuzzer


def fuzz(*arguments):
    source = Path(__file__).parents[2] / "src"
    command = [sys.executable, "-W", "error", pickle_fuzzer.__file__, str(source), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("n_files", "seed"), [(3000, 0), pytest.param(100_000, 1, marks=pytest.mark.slow)]
)
def test_mutated_pickles_in_two_gib_do_no_harm(n_files, seed):
    ran = fuzz(str(n_files), str(seed))
    assert ran.returncode == 0, ran.stderr[-2000:]
    report = json.loads(ran.stdout)
    assert report["loaded"] + report["refused"] == n_files
    assert report["loaded"] > n_files / 50  # otherwise the values would never be touched
    assert report["forbidden"] == {}
    assert report["several_lines"] == 0
    assert report["slowest"] < 5  # all files are below 10 kB
    assert report["growth_mib"] < 32


def test_the_fuzzer_notices_what_python_own_reader_does():
    ran = fuzz("300", "0", "--control")
    assert ran.returncode != 0 or json.loads(ran.stdout)["forbidden"]
