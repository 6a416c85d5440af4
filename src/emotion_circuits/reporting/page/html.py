"""Sections as one HTML page that needs no other file, no script and no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from emotion_circuits.errors import printable
from emotion_circuits.reporting.blocks import Drawing, Section
from emotion_circuits.reporting.svg.pictures import LegendEntry, Panel
from emotion_circuits.reporting.svg.render import legend_mark, panel_svg

_CODE: Final = re.compile(r"`([^`]+)`")
_WIDE: Final = 420  # pixels above which a panel scrolls on a narrow screen instead of shrinking


def render_page(*, title: str, question: str, sections: Sequence[Section]) -> str:
    """Return the page.

    Args:
        title: Title of the page.
        question: The question that the study asks.
        sections: All parts, the short answer first.
    """
    template = _environment().get_template("study.html.j2")
    style = _read("study.css")
    page: str = template.render(
        title=title,
        question=question,
        sections=sections,
        style=Markup(style),
    )
    return page


def _read(name: str) -> str:
    return files("emotion_circuits.reporting.page").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"words": _words, "text": _one_line, "kind": _kind}
    environment.globals |= {"panel": _panel, "mark": _mark}
    return environment


def _kind(block: Any) -> str:
    return type(block).__name__


def _one_line(value: object) -> str:
    """Return text of files and models as one line without control characters."""
    return printable(str(value))


def _words(value: object) -> Markup:
    """Return text with what stands between backticks as code; all of it is escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(_one_line(value)))))


def _panel(block: Drawing, panel: Panel) -> Markup:
    """Draw a panel; a wide one keeps its width on a narrow screen."""
    least = f' style="min-width:{panel.width * 0.85:.0f}px"' if panel.width > _WIDE else ""
    axes = " against ".join(axis for axis in (panel.y.title, panel.x.title) if axis)
    label = ": ".join(part for part in (panel.title or block.picture.title, axes) if part)
    svg = panel_svg(panel, label=printable(label))
    width = f"{panel.width:.0f}"
    basis = f'<div class="panel" style="flex-basis:{width}px;max-width:{panel.width * 1.3:.0f}px">'
    return Markup(f"{basis}{svg.replace('<svg ', f'<svg{least} ', 1)}</div>")


def _mark(entry: LegendEntry) -> Markup:
    mark = legend_mark(entry.trace)
    return Markup(f'<svg viewBox="0 0 26 12" class="mark" aria-hidden="true">{mark}</svg>')
