"""Three readings side by side: picked from the long table, and left out where there are none."""

import pandas as pd
import pytest

from emotion_circuits.experiments.three_readings import three_readings
from emotion_circuits.reporting import draw_readings

TARGETS = {"gratitude": "emotions/gratitude", "apology": "emotions/remorse"}
KEYS = {
    "gratitude": ("emotions.gratitude", "emotions_masked.gratitude", "markers.gratitude"),
    "apology": ("emotions.remorse", "emotions_masked.remorse", "markers.apology"),
}


def effects():
    lines = []
    for number, (emotion, condition, key) in enumerate(
        (emotion, condition, key)
        for emotion in KEYS
        for condition in ("headline", "last_layers")
        for key in (*KEYS["gratitude"], *KEYS["apology"], "fluency.nll", "sentiment.compound")
    ):
        values = {
            name: number + step / 10
            for step, name in enumerate(
                ("mean_baseline", "mean_diff", "ci_lower", "ci_upper", "cohen_d")
            )
        }
        ends = {"effect_size_ci_lower": 0.0, "effect_size_ci_upper": 1.0, "fluency_loss": 0.2}
        lines.append(
            {"steered": emotion, "choice": condition, "metric_name": key, "n": 5} | values | ends
        )
    return pd.DataFrame(lines)


def test_each_emotion_has_its_own_three_readings():
    table = three_readings(effects(), TARGETS, condition="choice", emotion="steered")
    assert len(table) == 2 * 2 * 3
    for _, line in table.iterrows():
        reading = ("score", "masked", "markers").index(line["reading"])
        assert line["metric_name"] == KEYS[line["emotion"]][reading]
        own = effects()
        own = own[
            (own["steered"] == line["emotion"])
            & (own["choice"] == line["condition"])
            & (own["metric_name"] == line["metric_name"])
        ]
        assert own["mean_diff"].tolist() == [line["mean_diff"]]


def test_readings_that_no_evaluator_gives_are_left_out():
    known = effects()
    known = known[~known["metric_name"].str.contains("masked|markers")]
    table = three_readings(known, TARGETS, condition="choice", emotion="steered")
    assert set(table["reading"]) == {"score"}
    empty = three_readings(known[:0], TARGETS, condition="choice", emotion="steered")
    assert empty.empty
    assert not draw_readings(empty, list(TARGETS)).data


def test_the_figure_has_a_bar_for_each_reading_with_its_interval():
    table = three_readings(effects(), TARGETS, condition="choice", emotion="steered")
    figure = draw_readings(table, list(TARGETS))
    assert len(figure.data) == 2 * 3
    first = table[(table["emotion"] == "gratitude") & (table["reading"] == "score")]
    assert list(figure.data[0].y) == first["mean_diff"].tolist()
    assert list(figure.data[0].error_y.array) == pytest.approx(
        (first["ci_upper"] - first["mean_diff"]).tolist()
    )
    assert sum(bool(bar.showlegend) for bar in figure.data) == 3
