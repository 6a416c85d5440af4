"""Pictures are where the figure says they are; colours are legible."""

from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from emotion_circuits.reporting.style import DIVERGING, bars
from emotion_circuits.reporting.svg import panel_svg, picture_svg, read_picture
from emotion_circuits.reporting.svg.colours import ink, shade
from emotion_circuits.reporting.svg.scales import Axis, ends_of

SVG = "{http://www.w3.org/2000/svg}"


def drawn(figure):
    return ElementTree.fromstring(picture_svg(read_picture(figure)))


def circles(root):
    return [(float(mark.get("cx")), float(mark.get("cy"))) for mark in root.iter(f"{SVG}circle")]


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_marks_lie_where_a_straight_line_through_the_ends_puts_them(kind):
    x, y = [1.0, 3.0, 10.0, 100.0], [0.0, -2.0, 5.0, 1.0]
    figure = go.Figure(go.Scatter(x=x, y=y, mode="markers"))
    figure.update_xaxes(type=kind)
    places = np.array(circles(drawn(figure)))
    known = np.log10(x) if kind == "log" else np.array(x)
    # The first and the last value fix the scale; numpy's line must meet the others.
    expected = np.interp(known, known[[0, -1]], places[[0, -1], 0])
    np.testing.assert_allclose(places[:, 0], expected, atol=0.06)  # written with one digit
    lowest, highest = int(np.argmin(y)), int(np.argmax(y))
    expected = np.interp(y, [y[lowest], y[highest]], places[[lowest, highest], 1])
    np.testing.assert_allclose(places[:, 1], expected, atol=0.06)
    assert places[highest, 1] < places[lowest, 1]  # upwards is up


def test_a_reversed_axis_runs_the_other_way():
    figure = go.Figure(go.Scatter(x=[0, 1], y=["first", "second"], mode="markers"))
    plain = circles(drawn(figure))
    figure.update_yaxes(autorange="reversed")
    turned = circles(drawn(figure))
    assert plain[0][1] > plain[1][1]
    assert turned[0][1] < turned[1][1]
    assert turned[0][1] == pytest.approx(plain[1][1], abs=0.06)


def test_error_bars_end_where_the_interval_ends():
    import pandas as pd

    value, lower, upper = pd.Series([1.0]), pd.Series([0.5]), pd.Series([3.0])
    figure = go.Figure(
        go.Scatter(x=[1.0], y=["a"], error_x=bars(value, lower, upper), mode="markers")
    )
    figure.add_scatter(x=[0.5, 3.0], y=["a", "a"], mode="markers")
    root = drawn(figure)
    (_, low, high) = (place for place, _ in circles(root))
    (bar,) = (path.get("d") for path in root.iter(f"{SVG}path") if path.get("stroke") == "#0072B2")
    ends = [float(part.lstrip("M").split()[0]) for part in bar.split("H")]
    assert sorted(ends) == pytest.approx([low, high], abs=0.11)


def test_missing_values_interrupt_a_line_and_have_no_mark():
    figure = go.Figure(go.Scatter(x=[0, 1, 2], y=[1.0, float("nan"), 2.0]))
    root = drawn(figure)
    assert len(circles(root)) == 2
    (line,) = (p.get("d") for p in root.iter(f"{SVG}path") if p.get("stroke") == "#0072B2")
    assert line.count("M") == 2
    assert "nan" not in picture_svg(read_picture(figure)).lower()


def test_every_cell_of_a_heat_map_has_the_colour_of_its_value():
    z = [[-1.0, 0.0], [1.0, None]]
    figure = go.Figure(
        go.Heatmap(
            z=z, x=[0, 1], y=[0, 1], zmin=-1, zmax=1, colorscale=[list(s) for s in DIVERGING]
        )
    )
    root = drawn(figure)
    cells = [path for path in root.iter(f"{SVG}path") if "z" in path.get("d")]
    assert {cell.get("fill") for cell in cells} == {"#2166ac", "#f7f7f7", "#b2182b"}
    assert sum(cell.get("d").count("z") for cell in cells) == 3


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_numbers_on_a_heat_map_are_legible_on_every_shade():
    """WCAG asks for a contrast of 4.5 to 1."""
    for share in np.linspace(0, 1, 101):
        colour = shade(share, DIVERGING)
        text = 0.0 if ink(colour) == "#000" else 1.0
        high, low = sorted((luminance(colour), text), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, colour


def test_a_panel_takes_the_title_and_the_range_of_the_axis_it_matches():
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=["left", "right"])
    figure.add_scatter(x=[0, 1], y=[0, 1], row=1, col=1)
    figure.add_scatter(x=[0, 1], y=[0, 50], row=1, col=2)
    figure.update_yaxes(title_text="score", col=1)
    left, right = read_picture(figure).panels
    assert (left.title, right.title) == ("left", "right")
    assert left.y.title == right.y.title == "score"
    assert (left.y.low, left.y.high) == (right.y.low, right.y.high)
    assert left.y.high > 50


def test_column_and_row_titles_name_each_panel():
    figure = make_subplots(rows=2, cols=2, column_titles=["a", "b"], row_titles=["x", "y"])
    for row in (1, 2):
        for column in (1, 2):
            figure.add_scatter(x=[0], y=[0], row=row, col=column)
    titles = [panel.title for panel in read_picture(figure).panels]
    assert titles == ["a, x", "b, x", "a, y", "b, y"]


def test_names_from_files_are_text():
    name = '<script>alert("1")</script>'
    figure = go.Figure(go.Scatter(x=[name], y=[1], name=name, text=[name], mode="markers+text"))
    figure.update_layout(title=name, showlegend=True)
    figure.update_xaxes(title_text=name)
    picture = read_picture(figure)
    for svg in (picture_svg(picture, warning=name), panel_svg(picture.panels[0], label=name)):
        assert "<script" not in svg
        ElementTree.fromstring(svg)


def test_other_kinds_of_traces_are_refused():
    with pytest.raises(ValueError, match="type 'pie'; drawn are scatter, bar, heatmap"):
        read_picture(go.Figure(go.Pie(values=[1, 2])))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.37, 0.002), (0, 12345), (-3e-5, 4e-5)])
def test_ticks_are_few_and_say_where_they_are(low, high):
    axis = Axis("", "linear", low, high)
    ticks = axis.ticks(6)
    assert 2 <= len(ticks) <= 8
    for share, label in ticks:
        value = float(label.replace("−", "-"))
        assert low + share * (high - low) == pytest.approx(value, abs=1e-9 + abs(high - low) * 1e-6)


def test_an_axis_shows_all_of_its_values():
    assert ends_of([None]) == (0.0, 1.0)
    low, high = ends_of([2.0, 5.0, None])
    assert low < 2 < 5 < high
    assert ends_of([2.0, 5.0], zero=True)[0] == 0
