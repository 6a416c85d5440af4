"""The page stands alone, escapes what models wrote, and names what was not run."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

from emotion_circuits.reporting import draw_probes
from emotion_circuits.reporting.blocks import Section, TableBlock
from emotion_circuits.reporting.page import render_markdown
from emotion_circuits.reporting.sections import study_report
from study_results import emotions_of, probes, study, timings, with_values

HOSTILE = (
    '</dd><script src="https://example.org/x.js">alert(1)</script><img src=x onerror=y> | `a` $x$'
)
# Elements without an end.
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects elements and attributes, and checks that elements nest."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def report():
    return study_report(study(text=HOSTILE))


def test_the_page_is_one_document_without_scripts_or_other_files(report):
    page = Page(report.page)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("href", "src"):
            assert value.startswith("#")
    assert "@import" not in report.page
    assert not re.search(r"url\(", report.page)


def test_anchors_are_unique_and_every_link_has_one(report):
    page = Page(report.page)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value[1:] for name, value in page.attributes if name == "href"]
    assert set(links) <= set(ids)


def test_what_models_wrote_is_text(report):
    page = Page(report.page)
    assert "script" not in page.tags
    assert any('<script src="https://example.org/x.js">' in text for text in page.text)
    markdown = report.files["residual_patching.md"]
    assert "<script" not in markdown.replace("\\<", "")
    assert "\\<script" in markdown


def test_steered_text_is_marked_and_unsteered_is_not(report):
    marked = re.findall(r"<mark>(.*?)</mark>", report.page)
    assert len(marked) == 2  # one steered text of each model
    assert "(patched throughout)" in report.files["residual_patching.md"]


def test_the_same_results_give_the_same_bytes(report):
    again = study_report(study(text=HOSTILE))
    assert again.page == report.page
    assert again.files == report.files


def test_other_results_give_another_page(report):
    slower = with_values(study(text=HOSTILE), phase_timings=timings(seconds=2.0))
    other = study_report(slower)
    assert other.page != report.page


def test_the_reports_own_time_does_not_change_the_page(report):
    results = study(text=HOSTILE)
    events = results.values["phase_timings"]
    own = events.iloc[[0]].assign(phase="reporting", elapsed_seconds=9.0)
    with_own = with_values(results, phase_timings=pd.concat([events, own]))
    assert study_report(with_own).page == report.page


def test_phases_that_were_not_run_name_the_command_that_runs_them():
    empty = replace(study(), values={})
    page = "".join(Page(study_report(empty).page).text)
    for phase in (
        *("dataset", "emotion_vectors", "alignment", "residual_patching", "head_patching"),
        *("circuits", "statistics"),
    ):
        assert f"kedro run --pipelines={phase} --env=p" in page


def test_a_study_of_one_model_is_not_told_to_align_it():
    alone = replace(study(), values={}, models=("one",), pairs=())
    page = "".join(Page(study_report(alone).page).text)
    assert "names no pair of models" in page
    assert "--pipelines=alignment" not in page


def test_few_texts_are_said_on_the_figure_itself():
    results = study(n_prompts=5)
    table = results.values["one.head_score_table"].assign(n_pairs=4)
    report = study_report(with_values(results, **{"one.head_score_table": table}))
    warning = "Too few texts to conclude anything: 4 pairs of texts."
    figures = [part.split("</figure>")[0] for part in report.page.split("<figure>")[1:]]
    assert sum(warning in figure for figure in figures) == 1
    assert warning in report.files["figures/one_head_map_drop_mean.svg"]
    assert warning not in report.files["figures/two_head_map_drop_mean.svg"]
    assert "With five prompts per emotion nothing can be concluded" in report.page
    assert "nothing can be concluded" not in study_report(study()).page


def test_every_figure_of_markdown_is_a_file(report):
    for name, text in report.files.items():
        if name.endswith(".md"):
            for target in re.findall(r"\]\((figures/[^)]+)\)", text):
                assert target in report.files, name


def test_markdown_keeps_a_table_of_hostile_cells_in_shape():
    table = TableBlock("a | b", ("x", "y|z"), (("1 | 2", "line\nbreak"), ("`c`", "*d*")))
    text = render_markdown(Section("k", "T", (table,)))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [len(re.split(r"(?<!\\)\|", row)) for row in rows]
    assert cells == [4, 4, 4, 4]


def test_thirty_layers_and_27_emotions_fit_into_ten_megabytes():
    report = study_report(study(n_emotions=27, n_layers=30, n_heads=12))
    assert 100_000 < len(report.page.encode()) < 10_000_000
    Page(report.page)


def test_of_many_panels_those_against_neutral_are_kept_and_the_rest_is_counted():
    emotions = emotions_of(30)
    table = probes(emotions, "one", 2)
    others = [table.assign(contrast=f"{a}_vs_{b}") for a, b in pairwise(emotions.names)]
    figure = draw_probes(pd.concat([*(other.head(5) for other in others), table]))
    report = study_report(with_values(study(n_emotions=30), **{"one.probe_figure": figure}))
    assert "29 more panels are in the phase's own JSON file" in report.page
    shown = report.files["figures/one_probe_auroc.svg"]
    assert all(f"{name} – neutral<" in shown for name in emotions.names)
    assert "emotion0 – emotion1<" not in shown
