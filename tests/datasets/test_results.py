"""Result datasets write atomically and read back what was written."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from kedro.io import DatasetError

from emotion_circuits.datasets import (
    CheckpointDataset,
    EventLogDataset,
    ResultCSVDataset,
    ResultJSONDataset,
    ResultJSONLinesDataset,
    ResultPickleDataset,
    ResultPlotlyDataset,
    ResultTextDataset,
)
from emotion_circuits.errors import InputError


def test_each_kind_reads_back_what_it_wrote(tmp_path):
    table = pd.DataFrame({"layer": [0, 1], "norm": [0.5, 1.5]})
    ResultCSVDataset(filepath=str(tmp_path / "a.csv")).save(table)
    pd.testing.assert_frame_equal(ResultCSVDataset(filepath=str(tmp_path / "a.csv")).load(), table)

    ResultJSONDataset(filepath=str(tmp_path / "a.json")).save({"é": [1, 2]})
    assert ResultJSONDataset(filepath=str(tmp_path / "a.json")).load() == {"é": [1, 2]}

    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))
    ResultPlotlyDataset(filepath=str(tmp_path / "f.json")).save(figure)
    assert ResultPlotlyDataset(filepath=str(tmp_path / "f.json")).load() == figure

    result = {"vectors": np.eye(2), "resid_post": torch.ones(1, 2)}
    ResultPickleDataset(filepath=str(tmp_path / "a.pkl")).save(result)
    loaded = ResultPickleDataset(filepath=str(tmp_path / "a.pkl")).load()
    np.testing.assert_array_equal(loaded["vectors"], np.eye(2))
    assert torch.equal(loaded["resid_post"], torch.ones(1, 2))


class Unwritable:
    """Pickling it fails after other bytes were written; as a number it is no JSON either."""

    def __reduce__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("dataset", "name", "good", "bad"),
    [
        (ResultPickleDataset, "r.pkl", [1], [list(range(10_000)), Unwritable()]),
        (ResultJSONDataset, "r.json", [1], [float("nan")]),
    ],
)
def test_a_failed_save_keeps_the_former_file(tmp_path, dataset, name, good, bad):
    result = dataset(filepath=str(tmp_path / name))
    result.save(good)
    with pytest.raises(DatasetError):
        result.save(bad)
    assert result.load() == good
    assert os.listdir(tmp_path) == [name]


def test_the_event_log_only_grows(tmp_path):
    log = EventLogDataset(filepath=str(tmp_path / "timing" / "log.jsonl"))
    assert log.load().empty
    log.save({"phase": "activations", "metadata": {"peak": 1.0}})
    log.save({"phase": "emotion_vectors", "metadata": {}})
    assert list(log.load()["phase"]) == ["activations", "emotion_vectors"]
    assert log.load()["metadata"][0] == {"peak": 1.0}


def test_a_saved_result_deletes_the_checkpoint_it_makes_needless(tmp_path):
    checkpoint = tmp_path / ".rows"
    dataset = ResultPickleDataset(filepath=str(tmp_path / "r.pkl"), checkpoint=str(checkpoint))
    checkpoint.write_text("rows")
    with pytest.raises(DatasetError):
        dataset.save(Unwritable())
    assert checkpoint.exists()
    dataset.save([1])
    assert not checkpoint.exists()
    dataset.save([2])
    assert dataset.load() == [2]


def test_a_checkpoint_is_there_before_anything_is_in_it(tmp_path):
    dataset = CheckpointDataset(filepath=str(tmp_path / "rows"))
    assert dataset.exists()
    assert dataset.load().path == tmp_path / "rows"
    assert not (tmp_path / "rows").exists()
    with pytest.raises(DatasetError, match="written by its sweep alone"):
        dataset.save(1)


def test_json_deletes_the_checkpoint_it_makes_needless(tmp_path):
    checkpoint = tmp_path / ".checkpoint"
    checkpoint.write_text("rows")
    dataset = ResultJSONDataset(filepath=str(tmp_path / "a.json"), checkpoint=checkpoint)
    with pytest.raises(DatasetError, match="not JSON compliant"):
        dataset.save({"x": float("nan")})
    assert checkpoint.exists()
    dataset.save({"x": 1})
    assert dataset.load() == {"x": 1}
    assert not checkpoint.exists()


@pytest.mark.parametrize(
    "kind",
    [
        ResultCSVDataset,
        ResultJSONDataset,
        ResultJSONLinesDataset,
        ResultPickleDataset,
        ResultPlotlyDataset,
    ],
)
def test_a_result_that_is_not_there_is_one_line_and_no_chain(tmp_path, kind):
    with pytest.raises(DatasetError, match=r"none is not there yet; `kedro run`") as caught:
        kind(filepath=str(tmp_path / "none")).load()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


TORN = '{"phase": "activations"}\n{"phase": "emo'


def test_an_event_after_a_torn_line_is_on_a_line_of_its_own(tmp_path, caplog):
    path = tmp_path / "log.jsonl"
    path.write_text(TORN)
    log = EventLogDataset(filepath=str(path))
    log.save({"phase": "alignment"})
    assert path.read_text() == TORN + '\n{"phase": "alignment"}\n'
    with caplog.at_level("WARNING", logger="emotion_circuits"):
        assert list(log.load()["phase"]) == ["activations", "alignment"]
    assert "has 1 lines that cannot be read" in caplog.text


def test_an_event_is_written_whole_even_if_the_system_takes_a_few_bytes_at_a_time(
    tmp_path, monkeypatch
):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    log = EventLogDataset(filepath=str(tmp_path / "log.jsonl"))
    log.save({"phase": "activations"})
    monkeypatch.undo()
    assert list(log.load()["phase"]) == ["activations"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_an_event_that_does_not_fit_on_the_disk_is_an_error():
    with pytest.raises(DatasetError, match="No space left"):
        EventLogDataset(filepath="/dev/full").save({"phase": "activations"})


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        (ResultJSONDataset, "r.json", b'{"a": [1,'),
        (ResultJSONDataset, "r.json", b"[" * 200),
        (ResultJSONDataset, "r.json", b'"\xff"'),
        (ResultJSONDataset, "r.json", b""),
        (ResultJSONLinesDataset, "r.jsonl", b'{"a": 1}\n{"a":'),
        (ResultJSONLinesDataset, "r.jsonl", b'"\xff"'),
        (ResultPlotlyDataset, "r.json", b'{"data": ['),
        (ResultPlotlyDataset, "r.json", b'{"data": [{"type": "no such trace"}]}'),
        (ResultPlotlyDataset, "r.json", b"[1, 2]"),
        (ResultCSVDataset, "r.csv", b""),
        (ResultCSVDataset, "r.csv", b'a,b\n1,2\n"1'),
        (ResultTextDataset, "r.txt", b"\xff"),
    ],
)
def test_a_broken_result_is_one_line_that_names_it_and_the_way_out(tmp_path, kind, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        kind(filepath=str(path)).load()
    reason = caught.value.__cause__
    assert isinstance(reason, InputError)
    assert str(path) in str(reason)
    assert str(reason).endswith("; delete it, and the next run makes it again")
