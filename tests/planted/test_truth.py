"""The form of planted.json, and one line for everything that is wrong with it."""

import json

import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.planted import TRUTH_FILE, PlantedShape, PlantedTruth, build_planted


@pytest.fixture(scope="module")
def fields():
    return json.loads(build_planted(PlantedShape(), seed=0).truth.model_dump_json())


def _written(folder, fields):
    (folder / TRUTH_FILE).write_text(json.dumps(fields), encoding="utf-8")
    return folder


def test_what_is_written_is_read(fields, tmp_path):
    truth = PlantedTruth.read(_written(tmp_path, fields))
    assert json.loads(truth.model_dump_json()) == fields


def test_a_minimal_file_has_emotions_cues_and_reactions(tmp_path):
    minimal = {
        "emotions": ["joy"],
        "n_layers": 2,
        "n_heads": 3,
        "d_model": 4,
        "cue_tokens": {"joy": [7]},
        "reactions": {"joy": ["yay"]},
    }
    truth = PlantedTruth.read(_written(tmp_path, minimal))
    assert truth.direction("joy", 0) is None
    assert truth.heads == []


def _changed(fields, path, value):
    changed = json.loads(json.dumps(fields))
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["nodes", 0, "node"], "a9.h0", "node 'a9.h0' is not in the model"),
        (["nodes", 0, "node"], "input", "neither a head nor an MLP"),
        (["nodes", 0, "role"], "detects", "role is 'detects'"),
        (["nodes", 0, "emotions"], ["angr"], "emotion 'angr'.*nearest: anger"),
        (["cue_tokens", "anger"], [], "cue_tokens of anger are missing"),
        (["directions", 0, "vector"], [1.0], "has 1 entries; d_model is 96"),
        (["directions", 0, "vector"], [0.0] * 96, "is zero"),
        (["directions", 0, "layer"], 4, "allowed are 0 to 3"),
        (["edges", "anger"], ["a0.h0->input"], "edge 'a0.h0->input' is not in the model"),
        (["redundant", 0, "nodes"], ["a0.h0", "a9.h9"], "redundant: node"),
        (["neutral"], "anger", "none is the neutral class"),
        (["emotion"], ["joy"], "parameter 'emotion'.*nearest: emotions"),
    ],
)
def test_errors_name_the_file_and_what_is_wrong(fields, tmp_path, path, value, message):
    with pytest.raises(InputError, match=message) as caught:
        PlantedTruth.read(_written(tmp_path, _changed(fields, path, value)))
    assert TRUTH_FILE in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_the_file_and_a_file_that_is_no_json_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"has no planted\.json"):
        PlantedTruth.read(tmp_path)
    (tmp_path / TRUTH_FILE).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"planted\.json"):
        PlantedTruth.read(tmp_path)
