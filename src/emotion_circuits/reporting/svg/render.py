"""Panels and whole pictures as SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from emotion_circuits.reporting.finite import to_number
from emotion_circuits.reporting.svg.marks import (
    Trace,
    colour_of,
    line_style,
    marker_element,
    n,
    trace_elements,
)
from emotion_circuits.reporting.svg.pictures import Panel, Picture
from emotion_circuits.reporting.svg.scales import Axis

_LETTER: Final = 6.2  # width of a letter at the size of labels, in pixels
_LINE: Final = 13.0  # height of a line of text
_LONGEST: Final = 26  # letters in a line of a label
_GAP: Final = 16.0
_COLUMNS: Final = 3

# Styles of a file of its own; a page has its own style sheet for the same classes.
_STYLE: Final = (
    "text{font:11px system-ui,sans-serif;fill:currentColor}"
    ".name{font-weight:600}.mid{text-anchor:middle}.axis{stroke:currentColor}"
    ".rule{stroke:currentColor;stroke-dasharray:2 3}"
)


@dataclass(frozen=True)
class _Frame:
    """The inner rectangle of a panel, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def x(self, axis: Axis, value: Any) -> float | None:
        share = axis.share(value)
        return None if share is None else self.left + share * (self.right - self.left)

    def y(self, axis: Axis, value: Any) -> float | None:
        share = axis.share(value)
        return None if share is None else self.bottom - share * (self.bottom - self.top)


def panel_svg(panel: Panel, *, label: str) -> str:
    """Draw one panel.

    Args:
        panel: The panel.
        label: What it shows, for readers who do not see it.
    """
    size = f'viewBox="0 0 {n(panel.width)} {n(panel.height)}"'
    body = "".join(_panel(panel))
    return f'<svg {size} role="img" aria-label="{escape(label)}">{body}</svg>'


def picture_svg(picture: Picture, *, warning: str = "") -> str:
    """Draw a whole picture, panels in rows of at most three, as a file of its own.

    Args:
        picture: The picture.
        warning: A sentence below the title, such as that there are too few texts.
    """
    cell_width = max(panel.width for panel in picture.panels)
    cell_height = max(panel.height for panel in picture.panels)
    columns = min(_COLUMNS, len(picture.panels))
    rows = -(-len(picture.panels) // columns)
    width = columns * (cell_width + _GAP)
    legend, legend_height = _legend(picture, width)
    head = 46.0 if warning else 30.0
    height = head + rows * (cell_height + _GAP) + legend_height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{n(width)}" height="{n(height)}" '
        f'viewBox="0 0 {n(width)} {n(height)}" role="img" aria-label="{escape(picture.title)}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{n(width)}" height="{n(height)}" fill="#fff"/>',
        f'<g color="#222"><text x="8" y="20" class="name">{escape(picture.title)}</text>',
    ]
    if warning:
        parts.append(f'<text x="8" y="37" style="fill:#a03b00">{escape(warning)}</text>')
    for index, panel in enumerate(picture.panels):
        row, column = divmod(index, columns)
        x, y = column * (cell_width + _GAP), head + row * (cell_height + _GAP)
        parts.append(f'<g transform="translate({n(x)} {n(y)})">{"".join(_panel(panel))}</g>')
    parts.append(
        f'<g transform="translate(8 {n(height - legend_height)})">{legend}</g></g></svg>\n'
    )
    return "".join(parts)


def legend_mark(trace: Trace) -> str:
    """Draw the marks of a trace for a legend, 26 by 12 pixels."""
    colour = colour_of(trace)
    if trace.get("fill") == "toself" or trace.get("type") == "bar":
        return f'<rect x="2" y="1" width="22" height="10" fill="{escape(colour)}"/>'
    mode, parts = trace.get("mode") or "lines+markers", []
    if "lines" in mode:
        style = line_style(trace.get("line") or {})
        parts.append(f'<path d="M1 6H25" stroke="{escape(colour)}" {style}/>')
    if "markers" in mode:
        marker = trace.get("marker") or {}
        symbol = marker.get("symbol") if isinstance(marker.get("symbol"), str) else "circle"
        own = marker.get("color") if isinstance(marker.get("color"), str) else colour
        size = min(8.0, to_number(marker.get("size")) or 6.0)
        parts.append(marker_element(str(symbol), 13, 6, size, str(own)))
    return "".join(parts)


def _legend(picture: Picture, width: float) -> tuple[str, float]:
    x = y = 0.0
    parts = []
    for entry in picture.legend:
        own = 40 + len(entry.name) * _LETTER
        if x and x + own > width - 16:
            x, y = 0.0, y + 18
        parts.append(
            f'<g transform="translate({n(x)} {n(y)})">{legend_mark(entry.trace)}'
            f'<text x="30" y="10">{escape(entry.name)}</text></g>'
        )
        x += own
    return "".join(parts), y + 26 if parts else 0.0


def _panel(panel: Panel) -> Iterator[str]:
    label_lines = {name: _wrapped(name) for name in (*panel.x.categories, *panel.y.categories)}
    frame = _frame(panel, label_lines)
    if panel.title:
        yield f'<text x="{n(frame.left)}" y="13" class="name">{escape(_plain(panel.title))}</text>'
    yield from _x_axis(panel.x, frame, label_lines)
    yield from _y_axis(panel.y, frame, label_lines)
    for value in panel.rules:
        y = frame.y(panel.y, value)
        if y is not None:
            yield f'<path d="M{n(frame.left)} {n(y)}H{n(frame.right)}" class="rule"/>'
    for value in panel.zeros:
        x = frame.x(panel.x, value)
        if x is not None:
            yield f'<path d="M{n(x)} {n(frame.top)}V{n(frame.bottom)}" class="rule"/>'
    yield from trace_elements(
        panel, lambda value: frame.x(panel.x, value), lambda value: frame.y(panel.y, value)
    )


def _frame(panel: Panel, lines: dict[str, list[str]]) -> _Frame:
    left, bottom, top = 12.0, 12.0, 22.0 if panel.title else 8.0
    if panel.y.is_visible:
        if panel.y.kind == "category":
            left += _longest(panel.y, lines) * _LETTER + 6
        else:
            ticks = panel.y.ticks()
            left += max((len(label) for _, label in ticks), default=1) * _LETTER + 6
        left += 16.0 if panel.y.title else 0.0
    if panel.x.is_visible:
        bottom += 8 + (_LINE if panel.x.title else 0.0)
        if panel.x.kind == "category" and _turned(panel, left, lines):
            bottom += _longest(panel.x, lines) * _LETTER * 0.75 + _LINE
        elif panel.x.kind == "category":
            bottom += _LINE * max(len(lines[name]) for name in panel.x.categories)
        else:
            bottom += _LINE
    return _Frame(left, top, panel.width - 10, panel.height - bottom)


def _longest(axis: Axis, lines: dict[str, list[str]]) -> int:
    return max((len(line) for name in axis.categories for line in lines[name]), default=1)


def _turned(panel: Panel, left: float, lines: dict[str, list[str]]) -> bool:
    """Say whether names below a panel are too long to stand side by side."""
    room = (panel.width - left - 10) / max(1, len(panel.x.categories))
    return _longest(panel.x, lines) * _LETTER > room - 4


def _wrapped(name: str) -> list[str]:
    lines = [
        line
        for part in name.split("<br>")
        for line in textwrap.wrap(part, _LONGEST, break_on_hyphens=False) or [""]
    ]
    return lines[:4]


def _plain(text: str) -> str:
    return text.replace("<br>", " ").replace("</br>", " ")


def _x_axis(axis: Axis, frame: _Frame, lines: dict[str, list[str]]) -> Iterator[str]:
    if not axis.is_visible:
        return
    width = frame.right - frame.left
    yield f'<path d="M{n(frame.left)} {n(frame.bottom)}H{n(frame.right)}" class="axis"/>'
    room = width / max(1, len(axis.categories))
    is_turned = axis.kind == "category" and _longest(axis, lines) * _LETTER > room - 4
    depth = 0.0
    for share, label in axis.ticks(max(3, int(width / 55))):
        x = frame.left + share * width
        yield f'<path d="M{n(x)} {n(frame.bottom)}v4" class="axis"/>'
        if is_turned:
            text, y = escape(" ".join(lines[label])), n(frame.bottom + 14)
            turn = f'transform="rotate(-40 {n(x)} {y})" text-anchor="end"'
            yield f'<text x="{n(x)}" y="{y}" {turn}>{text}</text>'
            depth = max(depth, len(text) * _LETTER * 0.65 + 4)
            continue
        rows = lines[label] if axis.kind == "category" else [label]
        for row, text in enumerate(rows):
            y = n(frame.bottom + 15 + row * _LINE)
            yield f'<text x="{n(x)}" y="{y}" class="mid">{escape(text)}</text>'
        depth = max(depth, (len(rows) - 1) * _LINE)
    if axis.title:
        # A long title ends at the right border at the latest.
        half = len(axis.title) * _LETTER / 2
        middle = min((frame.left + frame.right) / 2, frame.right + 8 - half)
        low = n(frame.bottom + 30 + depth)
        yield f'<text x="{n(middle)}" y="{low}" class="mid">{escape(_plain(axis.title))}</text>'


def _y_axis(axis: Axis, frame: _Frame, lines: dict[str, list[str]]) -> Iterator[str]:
    if not axis.is_visible:
        return
    height = frame.bottom - frame.top
    yield f'<path d="M{n(frame.left)} {n(frame.top)}V{n(frame.bottom)}" class="axis"/>'
    for share, label in axis.ticks(max(3, int(height / 35))):
        y = frame.bottom - share * height
        yield f'<path d="M{n(frame.left)} {n(y)}h-4" class="axis"/>'
        rows = lines[label] if axis.kind == "category" else [label]
        for row, text in enumerate(rows):
            place = y + 4 + (row - (len(rows) - 1) / 2) * _LINE
            end = f'x="{n(frame.left - 7)}" y="{n(place)}" text-anchor="end"'
            yield f"<text {end}>{escape(text)}</text>"
    if axis.title:
        middle = n((frame.top + frame.bottom) / 2)
        turn = f'transform="translate(12 {middle}) rotate(-90)"'
        yield f'<text {turn} class="mid">{escape(_plain(axis.title))}</text>'
