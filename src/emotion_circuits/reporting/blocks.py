"""Parts of a report, which become HTML for the page and Markdown for a phase's report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import plotly.graph_objects as go

from emotion_circuits.reporting.svg.pictures import Panel, Picture, read_picture

# Panels of one figure of the report; the JSON file of its phase has all.
MOST_PANELS: Final = 48


@dataclass(frozen=True)
class Heading:
    """A heading within a section, such as a model's name."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Items:
    """A list of plain texts."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class TableBlock:
    """A table.

    Attributes:
        caption: What the lines are.
        columns: Names of the columns, with units.
        lines: Cells as texts, in the order of the columns.
        note: A sentence below; may be empty.
        is_headline: Whether each line becomes a card on a narrow screen.
    """

    caption: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    note: str = ""
    is_headline: bool = False


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: Name of its file, without ending.
        picture: What is drawn.
        note: What marks and bands mean; may be empty.
        warning: A sentence on the figure itself, such as that there are too few texts.
        n_left_out: Panels that page and file leave out.
    """

    name: str
    picture: Picture
    note: str = ""
    warning: str = ""
    n_left_out: int = 0


@dataclass(frozen=True)
class Sample:
    """A text that a model wrote.

    Attributes:
        label: Condition under which it was written.
        text: The text.
        is_patched: Whether the patch was on while all of it was written.
        score: The emotion's own score and the cost, as text; may be empty.
    """

    label: str
    text: str
    is_patched: bool = False
    score: str = ""


@dataclass(frozen=True)
class Samples:
    """Continuations of one prompt, side by side."""

    title: str
    prompt: str
    samples: tuple[Sample, ...]


Block = Heading | Paragraph | Items | TableBlock | Drawing | Samples


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading and an anchor.

    Attributes:
        key: Its anchor, and the name of its Markdown file.
        title: Its heading.
        blocks: Its content, in order.
    """

    key: str
    title: str
    blocks: tuple[Block, ...] = field(default=())


def drawing(
    name: str,
    figure: go.Figure | None,
    *,
    note: str = "",
    warning: str = "",
    keep: Callable[[Panel], bool] | None = None,
) -> list[Block]:
    """Return a figure as a block, or nothing if there is no figure or nothing is drawn in it.

    Args:
        name: Name of its file, without ending.
        figure: A figure, or None.
        note: What marks and bands mean.
        warning: A sentence on the figure itself.
        keep: Which panels belong on the page if there are more than ``MOST_PANELS``.
    """
    picture = None if figure is None else read_picture(figure)
    if picture is None or not picture.panels:
        return []
    panels = picture.panels
    if len(panels) > MOST_PANELS and keep is not None:
        panels = tuple(panel for panel in panels if keep(panel)) or panels
    panels = panels[:MOST_PANELS]
    n_left_out = len(picture.panels) - len(panels)
    shown = Picture(picture.title, panels, picture.legend)
    return [Drawing(name, shown, note, warning, n_left_out)]


def not_run(what: str, pipeline: str, profile: str) -> Paragraph:
    """Return the line of a phase without results: what is missing and how to run it."""
    command = f"kedro run --pipelines={pipeline} --env={profile}"
    return Paragraph(f"{what} was not run; `{command}` runs it.")
