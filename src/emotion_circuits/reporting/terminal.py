"""What a run found, as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from emotion_circuits.reporting.answers.cells import BRIEF_HEADERS, brief_cells
from emotion_circuits.reporting.answers.headline import Headline
from emotion_circuits.reporting.answers.words import too_few_prompts

_TITLE: Final = "What was found"
_NOTE: Final = "cost: nats per token; heads: contrast lost without them; circuit: faithfulness"


class PhaseTime(NamedTuple):
    """Time of one phase in a run.

    Attributes:
        phase: Name of the phase.
        models: Models or pairs that it ran on; empty for a phase of the whole study.
        seconds: Sum over the models.
    """

    phase: str
    models: tuple[str, ...]
    seconds: float


def run_summary(
    times: Sequence[PhaseTime], lines: Sequence[Headline], paths: Mapping[str, str]
) -> RenderableType:
    """Return phases with their times, the headline of each emotion, and where the report is.

    Args:
        times: Phases in the order in which they are shown.
        lines: Headlines; empty if the run wrote no report.
        paths: Files to name below the table, by what they are.
    """
    parts: list[RenderableType] = []
    if times:
        parts.append(_times(times))
    if lines:
        parts.append(_answers(lines))
        parts.append(Text(_NOTE))
        warning = too_few_prompts(lines[0].n_prompts)
        parts += [Text(warning, style="bold")] * bool(warning)
    parts += [Text(f"{name}: {path}", overflow="fold") for name, path in paths.items()]
    return Group(*parts)


def _times(times: Sequence[PhaseTime]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("phase")
    table.add_column("models")
    table.add_column("time", justify="right")
    for line in times:
        table.add_row(line.phase, ", ".join(line.models), f"{line.seconds:.1f} s")
    return table


def _answers(lines: Sequence[Headline]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=_TITLE, title_justify="left")
    for name in BRIEF_HEADERS:
        table.add_column(name, overflow="fold")
    for line in lines:
        table.add_row(*(Text(cell) for cell in brief_cells(line)))
    return table
