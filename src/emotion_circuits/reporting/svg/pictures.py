"""What a Plotly figure shows, panel by panel, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from emotion_circuits.reporting.finite import to_number
from emotion_circuits.reporting.svg.scales import Axis, ends_of

_KINDS: Final = ("scatter", "bar", "heatmap")
_NEAR: Final = 1e-6

Trace = Mapping[str, Any]


@dataclass(frozen=True)
class Panel:
    """One pair of axes with what is drawn in it.

    Attributes:
        title: Its title; may be empty.
        x: The horizontal axis.
        y: The vertical axis.
        traces: Plotly's traces of the kinds scatter, bar and heatmap.
        rules: Values of y with a horizontal line across the panel.
        zeros: Values of x with a vertical line across the panel.
        width: In pixels.
        height: In pixels.
    """

    title: str
    x: Axis
    y: Axis
    traces: tuple[Trace, ...]
    rules: tuple[float, ...]
    zeros: tuple[float, ...]
    width: float
    height: float


@dataclass(frozen=True)
class LegendEntry:
    """A name in the legend and the trace that shows its marks."""

    name: str
    trace: Trace


@dataclass(frozen=True)
class Picture:
    """A figure: its title, panels in reading order, and legend."""

    title: str
    panels: tuple[Panel, ...]
    legend: tuple[LegendEntry, ...]


def read_picture(figure: go.Figure) -> Picture:
    """Read a figure made of scatter, bar and heatmap traces.

    Args:
        figure: Any number of panels, as ``make_subplots`` lays them out. Axes that match each other
            have a common range; a panel's axis without a title takes that of the axis it matches.

    Raises:
        ValueError: If the figure has a trace of another kind.
    """
    plain = figure.to_plotly_json()
    layout = plain["layout"]
    traces = [_checked(trace) for trace in plain["data"]]
    pairs = list(dict.fromkeys(_axes_of(trace) for trace in traces))
    axes = {name: layout.get(_key(name)) or {} for pair in pairs for name in pair}
    axes |= {
        _short(key): value for key, value in layout.items() if key.startswith(("xaxis", "yaxis"))
    }
    ranges = _ranges(axes, traces)
    panels = []
    for x, y in sorted(pairs, key=lambda pair: _reading_order(pair, axes)):
        inside = tuple(trace for trace in traces if _axes_of(trace) == (x, y))
        box = _domain(axes[x]), _domain(axes[y])
        panels.append(
            Panel(
                title=_title_of(box, layout.get("annotations") or ()),
                x=_axis(x, axes, ranges),
                y=_axis(y, axes, ranges),
                traces=inside,
                rules=_lines(layout.get("shapes") or (), "y", y),
                zeros=_lines(layout.get("shapes") or (), "x", x),
                width=_size(box[0], layout.get("width"), 1000, 280, 680),
                height=_size(box[1], layout.get("height"), 450, 190, 620),
            )
        )
    title = (layout.get("title") or {}).get("text") or ""
    return Picture(str(title), tuple(panels), _legend(traces, layout))


def _checked(trace: Trace) -> Trace:
    if trace.get("type", "scatter") not in _KINDS:
        raise ValueError(f"a trace of type {trace['type']!r}; drawn are {', '.join(_KINDS)}")
    return trace


def _axes_of(trace: Trace) -> tuple[str, str]:
    return trace.get("xaxis") or "x", trace.get("yaxis") or "y"


def _key(name: str) -> str:
    """Return the layout's key of an axis: ``x2`` is ``xaxis2``."""
    return f"{name[0]}axis{name[1:]}"


def _short(key: str) -> str:
    return key[0] + key.removeprefix(f"{key[0]}axis")


def _domain(axis: Mapping[str, Any]) -> tuple[float, float]:
    low, high = axis.get("domain") or (0.0, 1.0)
    return float(low), float(high)


def _reading_order(pair: tuple[str, str], axes: Mapping[str, Any]) -> tuple[float, float]:
    return -_domain(axes[pair[1]])[0], _domain(axes[pair[0]])[0]


def _size(
    domain: tuple[float, float], whole: float | None, usual: int, least: int, most: int
) -> float:
    return round(min(most, max(least, (domain[1] - domain[0]) * (whole or usual))))


def _root(name: str, axes: Mapping[str, Mapping[str, Any]]) -> str:
    """Follow ``matches`` to the axis whose range a group shares."""
    seen = {name}
    while (other := axes.get(name, {}).get("matches")) and other not in seen:
        seen.add(other)
        name = other
    return name


def _ranges(
    axes: Mapping[str, Mapping[str, Any]], traces: Sequence[Trace]
) -> dict[str, tuple[Any, ...]]:
    """Return (kind, low, high, categories) of each group of matching axes."""
    groups: dict[str, list[str]] = {}
    for name in axes:
        groups.setdefault(_root(name, axes), []).append(name)
    ranges = {}
    for root, names in groups.items():
        inside = [trace for trace in traces if set(_axes_of(trace)) & set(names)]
        values = [value for trace in inside for value in _values(trace, root[0])]
        kinds = [axes[name].get("type") for name in names]
        given = next((axes[name]["range"] for name in names if axes[name].get("range")), None)
        has_zero = any(axes[name].get("rangemode") == "tozero" for name in names)
        ranges[root] = _range(values, inside, root[0], kinds, given, has_zero)
    return ranges


def _range(
    values: list[Any], traces: list[Trace], side: str, kinds: list[Any], given: Any, zero: bool
) -> tuple[Any, ...]:
    if _is_category(values, kinds):
        names = tuple(dict.fromkeys(str(value) for value in values if value is not None))
        return "category", -0.5, len(names) - 0.5, names
    if "log" in kinds:
        numbers = [Axis("", "log", 0, 1).number(value) for value in values]
        low, high = given or ends_of(numbers)
        return "log", float(low), float(high), ()
    if given:
        return "linear", float(given[0]), float(given[1]), ()
    if traces and all(trace.get("type") == "heatmap" for trace in traces):
        cells = [number for value in values if (number := to_number(value)) is not None]
        return "linear", min(cells, default=0.0) - 0.5, max(cells, default=1.0) + 0.5, ()
    has_bars = side == "y" and any(trace.get("type") == "bar" for trace in traces)
    low, high = ends_of((to_number(value) for value in values), zero=zero or has_bars)
    return "linear", low, high, ()


def _is_category(values: list[Any], kinds: list[Any]) -> bool:
    return "category" in kinds or any(
        isinstance(value, str) and to_number(value) is None for value in values
    )


def _values(trace: Trace, side: str) -> list[Any]:
    """Return all values of a trace along one side, with the ends of its error bars."""
    values = listed(trace.get(side))
    if trace.get("type") == "heatmap" and not values:
        rows = listed(trace.get("z"))
        return list(range(len(rows) if side == "y" else len(listed(rows[0])) if rows else 0))
    error = trace.get(f"error_{side}") or {}
    ends = list(values)
    for key, sign in (("array", 1.0), ("arrayminus", -1.0)):
        widths = listed(error.get(key))
        if key == "arrayminus" and not widths and error.get("symmetric", True):
            widths = listed(error.get("array"))
        ends += [
            value + sign * width
            for value, width in zip(map(to_number, values), map(to_number, widths), strict=False)
            if value is not None and width is not None
        ]
    return ends


def listed(values: Any) -> list[Any]:
    """Return a list of any sequence, array or series; an empty one for None."""
    if values is None:
        return []
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _axis(
    name: str, axes: Mapping[str, Mapping[str, Any]], ranges: Mapping[str, tuple[Any, ...]]
) -> Axis:
    own, root = axes[name], _root(name, axes)
    kind, low, high, categories = ranges[root]
    title = _text(own.get("title")) or _text(axes.get(root, {}).get("title"))
    backwards = own.get("autorange") == "reversed" or low > high
    return Axis(
        title=title,
        kind=kind,
        low=min(low, high),
        high=max(low, high),
        categories=categories,
        dtick=to_number(own.get("dtick")),
        is_reversed=backwards,
        is_visible=own.get("visible", True) is not False,
    )


def _text(title: Any) -> str:
    return str((title or {}).get("text") or "") if isinstance(title, Mapping) else str(title or "")


def _title_of(
    box: tuple[tuple[float, float], tuple[float, float]], annotations: Iterable[Mapping[str, Any]]
) -> str:
    """Return a panel's own title, or the titles of its column and row."""
    (left, right), (bottom, top) = box
    own, column, row = [], [], []
    for note in annotations:
        if note.get("xref") != "paper" or note.get("yref") != "paper":
            continue
        x, y, text = float(note["x"]), float(note["y"]), str(note.get("text") or "")
        if note.get("textangle"):
            row += [text] * (abs(y - (bottom + top) / 2) < _NEAR)
        elif abs(x - (left + right) / 2) < _NEAR:
            own += [text] * (abs(y - top) < _NEAR)
            column += [text] * (abs(y - 1) < _NEAR)
    return ", ".join([*(own or column)[:1], *row[:1]])


def _lines(shapes: Iterable[Mapping[str, Any]], side: str, name: str) -> tuple[float, ...]:
    """Return the values of straight lines that cross a panel at one value of an axis."""
    return tuple(
        float(shape[f"{side}0"])
        for shape in shapes
        if shape.get("type") == "line"
        and shape.get(f"{side}ref") == name
        and shape[f"{side}0"] == shape[f"{side}1"]
    )


def _legend(traces: Sequence[Trace], layout: Mapping[str, Any]) -> tuple[LegendEntry, ...]:
    if layout.get("showlegend") is False:
        return ()
    entries: dict[str, LegendEntry] = {}
    for trace in traces:
        is_named = trace.get("name") and trace.get("type") != "heatmap"
        if is_named and trace.get("showlegend") is not False:
            entries.setdefault(str(trace["name"]), LegendEntry(str(trace["name"]), trace))
    return tuple(entries.values())
