"""A report's files replace those of the report before, and nothing else."""

import pytest
from kedro.io import DatasetError

from emotion_circuits.datasets import EventLogDataset, ReportFilesDataset


def test_files_are_written_and_read_back(tmp_path):
    dataset = ReportFilesDataset(folder=tmp_path / "reports")
    assert not dataset.exists()
    texts = {"answer.md": "# é\n", "figures/a.svg": "<svg/>"}
    dataset.save(texts)
    assert dataset.exists()
    assert dataset.load() == texts
    assert (tmp_path / "reports" / "answer.md").read_text(encoding="utf-8") == "# é\n"


def test_files_of_an_earlier_report_go_and_other_files_stay(tmp_path):
    dataset = ReportFilesDataset(folder=tmp_path)
    dataset.save({"old.md": "1", "figures/old.svg": "2", "figures/kept.svg": "3"})
    (tmp_path / "study.html").write_text("page")
    (tmp_path / "figures" / "own.png").write_text("picture")
    dataset.save({"new.md": "4", "figures/kept.svg": "5"})
    assert dataset.load() == {"new.md": "4", "figures/kept.svg": "5"}
    assert (tmp_path / "study.html").read_text() == "page"
    assert (tmp_path / "figures" / "own.png").exists()


@pytest.mark.parametrize(
    "name", ["../x.md", "figures/../../x.svg", "/x.md", "other/x.md", "x.html"]
)
def test_names_lead_nowhere_else(tmp_path, name):
    with pytest.raises(DatasetError, match=r"allowed are x\.md, figures/x\.svg"):
        ReportFilesDataset(folder=tmp_path / "reports").save({name: "text"})
    assert not list(tmp_path.rglob("x.*"))


def test_a_log_without_a_file_is_empty_and_there(tmp_path):
    """Otherwise a first run, which only begins its log, would lose the times of its phases."""
    log = EventLogDataset(filepath=tmp_path / "log.jsonl")
    assert log.exists()
    assert log.load().empty
    log.save({"phase": "dataset"})
    assert log.load()["phase"].tolist() == ["dataset"]
