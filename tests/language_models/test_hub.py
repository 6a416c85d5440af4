"""Models of the hub, served on this machine: read, refused by name, and read again without it."""

import os
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from architectures import save_architecture
from local_hub import COMMIT, LocalHub, serve

OPEN, GATED = "org/open", "org/gated"
# The hub's address is read when its library is imported.
PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.WARNING, format="LOG %(message)s")
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import ModelSpec, load_language_model
from emotion_circuits.language_models.size import count_parameters
for argument in sys.argv[1:]:
    source, _, revision = argument.partition("@")
    spec = ModelSpec(name="m", source=source, revision=revision or None, device="cpu")
    try:
        size = count_parameters("model 'm'", source, spec.revision)
        print("loaded", load_language_model(spec).n_layers, "layers,", size, "parameters")
    except InputError as error:
        print(error)
"""

COMMITS = """
import sys
from emotion_circuits.errors import InputError
from emotion_circuits.language_models.hub import commit_of
for argument in sys.argv[1:]:
    source, revision, ask = argument.split("@")
    try:
        print(commit_of("model 'm'", source, revision, ask=ask == "ask"))
    except InputError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = save_architecture("gpt2", tmp_path_factory.mktemp("hub") / "model")
    with serve(LocalHub({OPEN: folder, GATED: folder}, gated=(GATED,))) as served:
        yield served


def load(url, home, *arguments, program=PROGRAM, **variables):
    """What a process prints, and what it logs, that loads models of a hub."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**kept, "HF_ENDPOINT": url, "HF_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    logged = [line for line in run.stderr.splitlines() if line.startswith("LOG")]
    return run.stdout.splitlines(), logged


def test_a_hub_that_is_there_and_then_is_not(hub, tmp_path):
    lines, logged = load(
        hub.url, tmp_path, OPEN, f"{OPEN}@{COMMIT}", f"{OPEN}@nope", "org/none", GATED
    )
    (folder,) = set(hub.folders.values())
    size = sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    assert lines[:2] == [f"loaded 3 layers, {size} parameters"] * 2
    assert lines[2] == "model 'm': 'org/open' has no revision 'nope' on the hub"
    assert lines[3].startswith("model 'm': 'org/none' is not on the hub; a private one needs")
    assert lines[4].startswith("model 'm': 'org/gated' is only for those who accepted its licence")
    assert "HF_TOKEN" in lines[4]
    assert logged == []
    assert not any(path.startswith("org/gated/resolve") for _, path in hub.asked)

    # Port 9 refuses connections. What was downloaded is read, with one warning.
    started = time.monotonic()
    lines, logged = load("http://127.0.0.1:9", tmp_path, OPEN, "org/none")
    assert time.monotonic() - started < 120  # 30 s on an idle machine, imports included
    assert lines[0] == "loaded 3 layers, None parameters"
    assert "the hub cannot be reached (" in lines[1]
    assert "hf download org/none" in lines[1]
    assert len(lines) == 2
    assert len(logged) == 1
    assert "model 'm' is read from the files downloaded earlier" in logged[0]


@pytest.mark.slow
def test_a_token_opens_what_its_owner_may_read(hub, tmp_path):
    lines, _ = load(hub.url, tmp_path, GATED, HF_TOKEN=hub.token)
    assert lines[0].startswith("loaded 3 layers")
    lines, logged = load(hub.url, tmp_path / "other", GATED, HF_TOKEN="hf_of_someone_else")
    assert lines[0].endswith("the token's owner has not done so")
    assert "hf_of_someone_else" not in "".join([*lines, *logged])


@pytest.mark.slow
def test_a_revision_stands_for_the_commit_of_the_hub_or_of_what_was_downloaded(hub, tmp_path):
    pinned = "f" * 40
    offline = {"program": COMMITS, "HF_HUB_OFFLINE": "1"}
    lines, _ = load(hub.url, tmp_path, f"{OPEN}@{pinned}@ask", f"{OPEN}@main@", **offline)
    assert lines == [
        pinned,
        "model 'm': 'org/open' was never downloaded, and no hub names its commit",
    ]
    lines, _ = load(hub.url, tmp_path, f"{OPEN}@main@", f"{OPEN}@nope@ask", program=COMMITS)
    assert lines == [COMMIT, "model 'm': 'org/open' has no revision 'nope' on the hub"]
    load(hub.url, tmp_path, f"{OPEN}@main")
    hub.asked.clear()
    lines, _ = load(hub.url, tmp_path, f"{OPEN}@main@", program=COMMITS)
    assert (lines, hub.asked) == ([COMMIT], [])
    lines, _ = load(hub.url, tmp_path, f"{OPEN}@main@ask", program=COMMITS)
    assert lines == [COMMIT]
    assert hub.asked
    lines, _ = load(hub.url, tmp_path, f"{OPEN}@main@ask", **offline)
    assert lines == [COMMIT]
