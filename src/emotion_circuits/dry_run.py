"""What a run would make and keep, as tables, without a model in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from emotion_circuits.datasets import LanguageModelDataset
from emotion_circuits.datasets.project_paths import find_in_project
from emotion_circuits.errors import InputError
from emotion_circuits.language_models.size import count_parameters
from emotion_circuits.node_marks import phase_and_model

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline.node import Node

    from emotion_circuits.provenance.plan import Plan

_BYTES: Final = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class PhasePlan:
    """What a run does in one phase of one model.

    Attributes:
        phase: The phase.
        model: The model or pair; empty for a phase of the whole study.
        makes: Number of results that the run makes.
        keeps: Number of results that it keeps.
        seconds: Time that the nodes took when each ran last; None if one of them never ran.
    """

    phase: str
    model: str
    makes: int
    keeps: int
    seconds: float | None


def phase_plans(
    plan: Plan,
    chosen: Sequence[Node],
    results: Iterable[str],
    events: pd.DataFrame,
    order: Iterable[str],
) -> list[PhasePlan]:
    """Sum up a plan by phase and model.

    Args:
        plan: The planned run.
        chosen: The selected nodes.
        results: Names of datasets that are files; others are not counted.
        events: Lines of the timing log.
        order: Names of phases, in the order in which they are shown.
    """
    running, files, last = {*plan.nodes, *plan.upstream}, set(results), _last_seconds(events)
    parts: dict[tuple[str, str], list[Node]] = {}
    for node in [*plan.upstream, *chosen]:
        parts.setdefault(phase_and_model(node), []).append(node)
    places = {name: place for place, name in enumerate(order)}
    return [
        PhasePlan(
            *key,
            makes=sum(len(files & set(node.outputs)) for node in nodes if node in running),
            keeps=sum(len(files & set(node.outputs)) for node in nodes if node not in running),
            seconds=_sum(last.get((*key, node.short_name)) for node in nodes if node in running),
        )
        for key, nodes in sorted(parts.items(), key=lambda part: places.get(part[0][0], 0))
    ]


def _last_seconds(events: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Return the newest time of each node, by phase, model and node."""
    last: dict[tuple[str, str, str], float] = {}
    for event in events.to_dict("records"):
        model = event["model"] if isinstance(event["model"], str) else ""
        for node, seconds in event["metadata"]["node_seconds"].items():
            last[event["phase"], model, node] = seconds
    return last


def _sum(values: Iterable[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def describe_run(
    plans: Sequence[PhasePlan], models: Mapping[str, LanguageModelDataset]
) -> RenderableType:
    """Return tables of phases and of models.

    Args:
        plans: What the run does by phase and model.
        models: The models that it would load.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("phase", "model", "makes", "keeps", "took last"):
        table.add_column(name, justify="left" if name in ("phase", "model") else "right")
    for line in plans:
        table.add_row(line.phase, line.model, str(line.makes), str(line.keeps), _time(line))
    parts: list[RenderableType] = [table]
    if models:
        parts += _sizes(models)
    known = [line.seconds for line in plans if line.makes and line.seconds is not None]
    if known:
        parts.append(Text(f"What is made and ran here before took {sum(known):.0f} s then."))
    parts.append(Text("This was a dry run: nothing was made."))
    return Group(*parts)


def _time(line: PhasePlan) -> str:
    if not line.makes:
        return ""
    return "never" if line.seconds is None else f"{line.seconds:.1f} s"


def _sizes(models: Mapping[str, LanguageModelDataset]) -> list[RenderableType]:
    """Return the table of models, and a line about each that a run could not load."""
    lines: list[RenderableType] = []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("model", "source", "parameters", "dtype", "weights"):
        table.add_column(name, overflow="fold")
    for name, dataset in models.items():
        spec = dataset.spec
        source, n = find_in_project(spec.source), None
        try:
            n = count_parameters(f"model {name!r}", source, spec.revision)
        except InputError as error:
            lines.append(Text(str(error)))
        size = "?" if n is None else f"{n * _BYTES[spec.dtype] / 2**30:.2f} GiB"
        table.add_row(name, spec.source, "?" if n is None else f"{n:,}", spec.dtype, size)
    return [table, *lines]


def models_of(nodes: Iterable[Node], catalog: CatalogProtocol) -> dict[str, LanguageModelDataset]:
    """Return the language models that some nodes read, by name."""
    found: dict[str, Any] = {}
    for node in nodes:
        for name in node.inputs:
            if name.endswith("language_model"):
                dataset = catalog.get(name)
                if isinstance(dataset, LanguageModelDataset):
                    found[dataset.spec.name] = dataset
    return found
