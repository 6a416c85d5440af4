"""Traces of a panel as SVG elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from emotion_circuits.reporting.finite import to_number
from emotion_circuits.reporting.style import BLUE, DIVERGING
from emotion_circuits.reporting.svg.colours import ink, shade
from emotion_circuits.reporting.svg.pictures import Panel, listed

Place = Callable[[Any], float | None]
Trace = Mapping[str, Any]

_DASHES: Final = {"dash": "6 4", "dot": "2 3", "dashdot": "6 3 2 3", "longdash": "10 4"}
_GAP: Final = 0.2  # share of a category's width between its groups of bars


def trace_elements(panel: Panel, x: Place, y: Place) -> Iterator[str]:
    """Yield the SVG elements of a panel's traces.

    Args:
        panel: The panel.
        x: From a value to a horizontal place in pixels; None for a value without one.
        y: From a value to a vertical place in pixels.
    """
    bars = [trace for trace in panel.traces if trace.get("type") == "bar"]
    for trace in panel.traces:
        kind = trace.get("type", "scatter")
        if kind == "heatmap":
            yield from _heatmap(trace, x, y)
        elif kind == "bar":
            yield from _bars(trace, bars, panel, x, y)
        elif trace.get("fill") == "toself":
            yield from _area(trace, x, y)
        else:
            yield from _scatter(trace, x, y)


def n(value: float) -> str:
    """Write a coordinate with at most one digit after the point."""
    return f"{value:.1f}".removesuffix(".0")


def colour_of(trace: Trace) -> str:
    """Return the main colour of a trace."""
    marker, line = trace.get("marker") or {}, trace.get("line") or {}
    for found in (trace.get("fillcolor"), line.get("color"), marker.get("color")):
        if isinstance(found, str):
            return found
    return BLUE


def marker_element(symbol: str, x: float, y: float, size: float, colour: str) -> str:
    """Return one mark: a circle, cross, square, diamond or triangle, filled or open."""
    half = size / 2
    fill = "none" if symbol.endswith("-open") else escape(colour)
    stroke = f'stroke="{escape(colour)}"'
    shape = symbol.removesuffix("-open")
    if shape == "x":
        a, b, c, d = n(x - half), n(x + half), n(y - half), n(y + half)
        return f'<path d="M{a} {c}L{b} {d}M{a} {d}L{b} {c}" fill="none" {stroke}/>'
    if shape in ("diamond", "square", "triangle-up"):
        corners = {
            "diamond": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
            "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
            "triangle-up": ((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
        }[shape]
        points = " ".join(f"{n(x + a * half)},{n(y + b * half)}" for a, b in corners)
        return f'<polygon points="{points}" fill="{fill}" {stroke}/>'
    return f'<circle cx="{n(x)}" cy="{n(y)}" r="{n(half)}" fill="{fill}" {stroke}/>'


def line_style(line: Mapping[str, Any]) -> str:
    """Return the attributes of a line's width and dash."""
    width = to_number(line.get("width"))
    dash = _DASHES.get(str(line.get("dash")))
    pattern = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke-width="{n(2.0 if width is None else width)}"{pattern}'


def _points(trace: Trace, x: Place, y: Place) -> list[tuple[float, float] | None]:
    pairs = zip(listed(trace.get("x")), listed(trace.get("y")), strict=False)
    points = []
    for first, second in pairs:
        a, b = x(first), y(second)
        points.append(None if a is None or b is None else (a, b))
    return points


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Return a path through all points, interrupted where one is missing."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{n(point[0])} {n(point[1])}")
        pen = "L"
    return "".join(parts)


def _area(trace: Trace, x: Place, y: Place) -> Iterator[str]:
    points = [point for point in _points(trace, x, y) if point is not None]
    if points:
        colour, line = escape(colour_of(trace)), trace.get("line") or {}
        width = to_number(line.get("width")) or 0.0
        edge = f' stroke="{colour}" stroke-width="{n(width)}"' if width else ""
        yield f'<path d="{_path(points)}Z" fill="{colour}"{edge}/>'


def _scatter(trace: Trace, x: Place, y: Place) -> Iterator[str]:
    points = _points(trace, x, y)
    mode = trace.get("mode") or "lines+markers"
    colour, line = colour_of(trace), trace.get("line") or {}
    opacity = to_number(trace.get("opacity"))
    if opacity is not None:
        yield f'<g opacity="{opacity:g}">'
    yield from _error_bars(trace, points, x, y, colour)
    if "lines" in mode and any(points):
        style = line_style(line)
        yield f'<path d="{_path(points)}" fill="none" stroke="{escape(colour)}" {style}/>'
    if "markers" in mode:
        yield from _markers(trace, points, colour)
    if "text" in mode:
        texts = listed(trace.get("text"))
        for point, text in zip(points, texts, strict=False):
            if point is not None:
                a, b = n(point[0]), n(point[1] - 9)
                yield f'<text x="{a}" y="{b}" class="mid">{escape(str(text))}</text>'
    if opacity is not None:
        yield "</g>"


def _markers(
    trace: Trace, points: Sequence[tuple[float, float] | None], colour: str
) -> Iterator[str]:
    marker = trace.get("marker") or {}
    size = to_number(marker.get("size")) or 6.0
    colours, symbols = marker.get("color"), marker.get("symbol") or "circle"
    for index, point in enumerate(points):
        if point is None:
            continue
        own = colours if colours is None or isinstance(colours, str) else listed(colours)[index]
        symbol = symbols if isinstance(symbols, str) else listed(symbols)[index]
        yield marker_element(str(symbol), *point, size, str(own or colour))


def _error_bars(
    trace: Trace,
    points: Sequence[tuple[float, float] | None],
    x: Place,
    y: Place,
    colour: str,
) -> Iterator[str]:
    for side, place in (("x", x), ("y", y)):
        error = trace.get(f"error_{side}") or {}
        above = listed(error.get("array"))
        below = above if error.get("symmetric", True) else listed(error.get("arrayminus"))
        parts = []
        for point, value, up, down in zip(
            points, listed(trace.get(side)), above, below, strict=False
        ):
            widths, number = (to_number(up), to_number(down)), to_number(value)
            if point is None or None in widths or number is None:
                continue
            ends = place(number + (widths[0] or 0)), place(number - (widths[1] or 0))
            if None in ends:
                continue
            a, b = n(ends[0] or 0), n(ends[1] or 0)
            across = n(point[1]) if side == "x" else n(point[0])
            parts.append(f"M{a} {across}H{b}" if side == "x" else f"M{across} {a}V{b}")
        if parts:
            yield f'<path d="{"".join(parts)}" fill="none" stroke="{escape(colour)}"/>'


def _bars(trace: Trace, bars: Sequence[Trace], panel: Panel, x: Place, y: Place) -> Iterator[str]:
    """Draw the bars of one trace, beside those of the others."""
    step = abs((x(panel.x.categories[-1]) or 0) - (x(panel.x.categories[0]) or 0))
    step = step / (len(panel.x.categories) - 1) if len(panel.x.categories) > 1 else 80.0
    width = step * (1 - _GAP) / len(bars)
    index = next(i for i, other in enumerate(bars) if other is trace)
    shift = (index - (len(bars) - 1) / 2) * width
    base = y(0.0) or 0.0
    colour = colour_of(trace)
    tops: list[tuple[float, float] | None] = []
    for name, value in zip(listed(trace.get("x")), listed(trace.get("y")), strict=False):
        middle, top = x(name), y(value)
        if middle is None or top is None:
            tops.append(None)
            continue
        tops.append((middle + shift, top))
        left, upper, height = middle + shift - width / 2, min(base, top), abs(base - top)
        yield (
            f'<rect x="{n(left)}" y="{n(upper)}" width="{n(width)}" height="{n(height)}" '
            f'fill="{escape(colour)}"/>'
        )
    yield from (
        element.replace(escape(colour), "currentColor")
        for element in _error_bars(trace, tops, x, y, colour)
    )


def _heatmap(trace: Trace, x: Place, y: Place) -> Iterator[str]:
    """Draw the cells of each shade as one path, and numbers where there is room."""
    rows = [listed(row) for row in listed(trace.get("z"))]
    names_x = listed(trace.get("x")) or list(range(len(rows[0]) if rows else 0))
    names_y = listed(trace.get("y")) or list(range(len(rows)))
    low, high = _ends(trace, rows)
    width, height = _cell(names_x, x), _cell(names_y, y)
    paths: dict[str, list[str]] = {}
    texts = []
    for name_y, row in zip(names_y, rows, strict=True):
        for name_x, value in zip(names_x, row, strict=True):
            number, a, b = to_number(value), x(name_x), y(name_y)
            if number is None or a is None or b is None:
                continue
            colour = shade(
                (number - low) / ((high - low) or 1.0),
                listed(trace.get("colorscale")) or DIVERGING,
                is_reversed=bool(trace.get("reversescale")),
            )
            corner = f"M{n(a - width / 2)} {n(b - height / 2)}"
            paths.setdefault(colour, []).append(f"{corner}h{n(width)}v{n(height)}h{n(-width)}z")
            if trace.get("texttemplate") and width >= 26 and height >= 12:
                text = f"{number:.2f}".replace("-", "−").replace("−0.00", "0.00")
                texts.append(
                    f'<text x="{n(a)}" y="{n(b + 4)}" class="mid" '
                    f'style="fill:{ink(colour)}">{text}</text>'
                )
    for colour, cells in paths.items():
        yield f'<path d="{"".join(cells)}" fill="{colour}"/>'
    yield from texts


def _ends(trace: Trace, rows: Sequence[Sequence[Any]]) -> tuple[float, float]:
    known = [number for row in rows for value in row if (number := to_number(value)) is not None]
    low, high = to_number(trace.get("zmin")), to_number(trace.get("zmax"))
    return (
        min(known, default=0.0) if low is None else low,
        max(known, default=1.0) if high is None else high,
    )


def _cell(names: Sequence[Any], place: Place) -> float:
    """Return the size of a cell along one side, from the distance of neighbours."""
    places = [where for name in names[:2] if (where := place(name)) is not None]
    if len(places) < 2:
        return 40.0
    distance = abs(places[1] - places[0])
    return distance if math.isfinite(distance) and distance > 0 else 40.0
