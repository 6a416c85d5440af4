"""A run ends with one table: phases, answers, the report's path, and each only once."""

import io
import logging
import re
import time

import pytest
from click.testing import CliRunner
from kedro.io import DataCatalog, MemoryDataset
from rich.console import Console

from emotion_circuits import progress
from emotion_circuits.cli import run as run_command
from emotion_circuits.datasets import ResultTextDataset
from emotion_circuits.pipelines.reporting import create_pipeline
from emotion_circuits.progress import no_loading_bar, progress_bar, show_all_bars
from emotion_circuits.reporting.answers import headline_table, headlines
from emotion_circuits.reporting.terminal import PhaseTime, run_summary
from emotion_circuits.run_summary import RunSummaryHook
from studies import run
from study_results import MODELS, study


def shown(*arguments, width=120):
    console = Console(file=io.StringIO(), width=width)
    console.print(run_summary(*arguments))
    return console.file.getvalue()


def test_the_table_names_each_model_and_emotion_with_its_verdict():
    times = [PhaseTime("dataset", (), 0.25), PhaseTime("activations", MODELS, 61.04)]
    text = shown(times, headlines(study()), {"Report": "results/p/reports/study.html"})
    assert "activations   one, two   61.0 s" in text
    rows = [line.split() for line in text.splitlines() if line.split()[2:3] == ["moves"]]
    assert [row[:2] for row in rows] == [
        [model, emotion] for model in MODELS for emotion in ("gratitude", "anger", "apology")
    ]
    assert text.rstrip().endswith("Report: results/p/reports/study.html")
    assert "nothing can be concluded" not in text


def test_five_prompts_are_said_to_be_no_findings():
    text = shown([], headlines(study(n_prompts=5)), {})
    sentence = "With five prompts per emotion nothing can be concluded"
    assert text.count(sentence) == 1


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_fits_any_width(width):
    lines = shown([], headlines(study()), {}, width=width).splitlines()
    assert max(map(len, lines)) <= width


def test_a_run_that_wrote_a_report_shows_its_headlines(tmp_path, capsys):
    table = headline_table(headlines(study()))
    catalog = DataCatalog(
        {
            "headline": MemoryDataset(table),
            "study_page": ResultTextDataset(filepath=tmp_path / "study.html"),
        }
    )
    hook = RunSummaryHook()
    hook.before_pipeline_run()
    hook.after_pipeline_run(create_pipeline(MODELS), catalog)
    said = capsys.readouterr().out
    assert said.count("moves") == 6
    assert "study.html" in said


def test_a_run_of_one_phase_shows_its_time_and_nothing_twice(project, tmp_path, capsys):
    run(project, tmp_path, pipeline_names=["dataset"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == len(set(lines))
    assert [line.split()[0] for line in lines][-1] == "dataset"
    assert not any("Report" in line for line in lines)


@pytest.fixture
def levels():
    """Give loggers and bars their state back."""
    names = ("kedro", "emotion_circuits.runners", "emotion_circuits")
    before = {name: logging.getLogger(name).level for name in names}
    handlers = {handler: handler.level for handler in logging.getLogger().handlers}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
    for handler, level in handlers.items():
        handler.setLevel(level)
    progress._shown["always"] = False


def test_a_log_file_has_no_bars_unless_all_are_wanted(levels, capsys):
    list(progress_bar(range(3), desc="quiet"))
    assert capsys.readouterr().err == ""
    show_all_bars()
    list(progress_bar(range(3), desc="loud"))
    list(progress_bar(range(3), desc="off", disable=True))
    said = capsys.readouterr().err
    assert "loud: 100%" in said
    assert "off" not in said


def test_a_log_file_has_a_line_now_and_then(monkeypatch, caplog, capsys):
    with caplog.at_level("INFO", logger="emotion_circuits"):
        list(progress_bar(range(8), desc="fast"))
        monkeypatch.setattr(progress, "_SECONDS", 0.05)
        for _ in progress_bar(range(8), desc="slow", unit="row"):
            time.sleep(0.03)
    said = [record.message for record in caplog.records]
    assert 1 <= len(said) <= 8  # on a busy machine each step may take long
    assert all(
        re.fullmatch(r"slow: \d+ % of 8 rows, \d\d:\d\d so far, [\d:?]+ to go, .*", line)
        for line in said
    )
    assert capsys.readouterr().out == ""


def test_the_bar_of_weights_is_hidden_and_given_back():
    from transformers.utils import logging as transformers_logging

    assert transformers_logging.is_progress_bar_enabled()
    with no_loading_bar():
        assert not transformers_logging.is_progress_bar_enabled()
    assert transformers_logging.is_progress_bar_enabled()


@pytest.mark.parametrize("verbose", [False, True])
def test_verbose_logs_each_node(project, tmp_path, levels, caplog, verbose):
    arguments = ["--pipelines=dataset", f"--params=results_root={tmp_path}"]
    done = CliRunner().invoke(run_command, arguments + ["--verbose"] * verbose)
    assert done.exit_code == 0, done.output
    said = [record.message for record in caplog.records if "Running node" in record.message]
    assert bool(said) == verbose
