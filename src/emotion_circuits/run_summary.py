"""Kedro hook: what a run did and found, as one table at its end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from rich.console import Console

from emotion_circuits.node_marks import phase_and_model
from emotion_circuits.reporting.answers.headline import Headline, read_headlines
from emotion_circuits.reporting.terminal import PhaseTime, run_summary

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

# Width where no terminal tells its own, such as in a log file.
_WIDTH: Final = 120


class RunSummaryHook:
    """Prints phases with their times, and the headline and report if the run wrote them.

    A node's time runs from the end of the previous node, so that loading and saving count.
    """

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], float] = {}
        self._last = perf_counter()

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Start the clock."""
        self._times = {}
        self._last = perf_counter()

    @hook_impl
    def after_dataset_saved(self, node: Node) -> None:
        """Add the time since the last save to the node's phase."""
        now = perf_counter()
        key = phase_and_model(node)
        self._times[key] = self._times.get(key, 0.0) + now - self._last
        self._last = now

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print the summary on standard output."""
        written = pipeline.outputs()
        lines: list[Headline] = []
        if "headline" in written:
            lines = read_headlines(catalog.load("headline"))
        page = catalog.get("study_page") if "study_page" in written else None
        Console(width=_width()).print(run_summary(self._phases(), lines, _paths(page)))

    def _phases(self) -> list[PhaseTime]:
        """Return the times by phase, in the order of the project's pipelines."""
        phases: dict[str, list[tuple[str, float]]] = {}
        for (phase, model), seconds in self._times.items():
            phases.setdefault(phase, []).append((model, seconds))
        order = {name: place for place, name in enumerate(pipelines)}
        return [
            PhaseTime(phase, _models(model for model, _ in parts), sum(time for _, time in parts))
            for phase, parts in sorted(phases.items(), key=lambda item: order.get(item[0], 0))
        ]


def _models(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys(names) if name)


def _paths(page: Any) -> dict[str, str]:
    path = getattr(page, "_filepath", None)
    if path is None:
        return {}
    path = Path(path).resolve()
    is_below = path.is_relative_to(Path.cwd())
    return {"Report": str(path.relative_to(Path.cwd()) if is_below else path)}


def _width() -> int | None:
    """Return a width for output that is no terminal; None leaves the choice to the terminal."""
    return None if Console().is_terminal else _WIDTH
