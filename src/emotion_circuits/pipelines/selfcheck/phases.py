"""Runs of the study's phases on one model, in memory."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner

from emotion_circuits.phase_settings import PhaseSettings

_PARAMETERS = "params:"
# Inputs that a check goes without: nothing is kept of a killed run, and nothing is imported.
_LEFT_OUT = ("_checkpoint", "imported_vectors")


class Phases:
    """The study's own pipelines, each run alone on data in memory."""

    def __init__(self, pipelines: Mapping[str, Pipeline]) -> None:
        """Keep the pipelines.

        Args:
            pipelines: Each phase's pipeline, without a namespace, by the phase's name.
        """
        self._pipelines = pipelines

    def run(
        self,
        phase: str,
        data: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        nodes: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Run a phase, or some of its nodes.

        Args:
            phase: The phase's name.
            data: Datasets by name; checkpoints and imported vectors are left out.
            parameters: The phase's parameters that differ from their defaults.
            nodes: Names of the nodes to run; empty for all.

        Returns:
            The datasets that the phase writes.
        """
        pipeline = self._pipelines[phase]
        if nodes:
            pipeline = pipeline.only_nodes(*nodes)
        own = {f"{_PARAMETERS}{phase}": _settings(pipeline, phase, parameters)}
        read = pipeline.inputs() - own.keys()
        held = own | {
            name: None if name.endswith(_LEFT_OUT) else data[name] for name in sorted(read)
        }
        catalog = DataCatalog(
            {name: MemoryDataset(value, copy_mode="assign") for name, value in held.items()}
        )
        written = SequentialRunner().run(pipeline, catalog)
        return {name: dataset.load() for name, dataset in written.items()}


def _settings(pipeline: Pipeline, phase: str, parameters: Mapping[str, Any]) -> PhaseSettings:
    """Validate a phase's parameters by the class that its nodes declare."""
    for node in pipeline.nodes:
        for name, declared in _declared(node):
            if name == f"{_PARAMETERS}{phase}":
                return declared.model_validate(dict(parameters))
    raise AssertionError(f"no node of {phase} reads its parameters")


def _declared(node: Node) -> list[tuple[str, type[PhaseSettings]]]:
    hints = get_type_hints(node.func)
    arguments = inspect.signature(node.func).parameters
    pairs = zip(node.inputs, arguments, strict=False)
    return [
        (name, hints[argument])
        for name, argument in pairs
        if isinstance(hints.get(argument), type) and issubclass(hints[argument], PhaseSettings)
    ]
