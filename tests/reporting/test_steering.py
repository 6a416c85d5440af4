"""Figures of steering show what the tables say."""

import copy

import pytest

from emotion_circuits.pipelines.residual_patching.nodes import report_residual_patching
from planted_sweep import SETTINGS, idle_controls, planted_sweep
from study_emotions import FOUR


@pytest.fixture(scope="module")
def sweep():
    return planted_sweep()


@pytest.fixture(scope="module")
def controls():
    return idle_controls()


@pytest.fixture(scope="module")
def report(sweep, controls):
    return report_residual_patching(sweep, controls, FOUR, SETTINGS)


def test_figures_draw_each_layer_and_each_target(report):
    names = [trace.name for trace in report.dose_figure.data]
    assert names.count("layer 0") == names.count("layer 2") == 6
    # Each band is drawn of the scores and of the costs.
    assert names.count("random directions, middle 95 %") == 6
    assert sum("covariance" in name for name in names) == 6
    line = next(t for t in report.dose_figure.data if t.name == "layer 2")
    assert list(line.x) == [1.0, 2.0]
    assert line.y[0] == pytest.approx(0.4, abs=0.03)
    (heat,) = report.specificity_figure.data
    assert list(heat.x)[:3] == ["goemotions.gratitude", "goemotions.anger", "goemotions.remorse"]
    assert heat.z[1][1] == pytest.approx(0.4, abs=0.03)
    assert heat.y[1].startswith("anger (layer 2, α 1, ")


def test_controls_at_one_strength_are_a_bar(sweep, controls):
    one = copy.deepcopy(controls)
    for layers in one["random_results"].values():
        for alphas in layers[2].values():
            del alphas[2.0]
    figure = report_residual_patching(sweep, one, FOUR, SETTINGS).dose_figure
    band = next(trace for trace in figure.data if trace.name == "random directions, middle 95 %")
    assert set(band.x) == {1.0}
    assert band.line.width > 0
    assert -0.02 < min(band.y) < max(band.y) < 0.02


def test_the_last_layers_are_told_from_those_of_the_headline(controls):
    report = report_residual_patching(planted_sweep(n_layers=3), controls, FOUR, SETTINGS)
    lines = [t for t in report.dose_figure.data if t.name.startswith("layer")]
    assert {t.name: t.line.dash for t in lines} == {"layer 0": None, "layer 2 (last layers)": "dot"}
    # The controls are at layer 2, and bands are of the headline's layers.
    assert not [t for t in report.dose_figure.data if "random" in t.name]
    (heat,) = report.specificity_figure.data
    assert [name.split(" (")[0] for name in heat.y] == [
        *FOUR.names,
        *(f"{emotion}, last layers" for emotion in FOUR.names),
    ]
    assert all("layer 0" in name for name in heat.y[:3])
    assert all("layer 2" in name for name in heat.y[3:])


def test_costs_stand_in_the_figures(report):
    """Of layer 2 and α = 1, three tenths of a nat: below the line of scores and beside a row."""
    (heat,) = report.specificity_figure.data
    assert all(0.2 < float(name.split("+")[1].split(" nats")[0]) < 0.4 for name in heat.y)
    costs = [t for t in report.dose_figure.data if t.name == "layer 2"][1::2]
    assert all(t.y[0] == pytest.approx(0.3, abs=0.06) for t in costs)
