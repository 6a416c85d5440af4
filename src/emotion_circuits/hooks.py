"""Kedro hooks: models leave memory when nobody needs them, and every phase leaves its timing."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import MemoryDataset

from emotion_circuits.datasets import LanguageModelDataset, TextEvaluatorDataset
from emotion_circuits.language_models.residency import resident
from emotion_circuits.memory import PeakMemory
from emotion_circuits.node_marks import emotion_needs, required_inputs
from emotion_circuits.prompts import EmotionSet

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


class OptionalInputHook:
    """Gives None to nodes that take what is there, for each input that is not."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Fill in what no node of this run makes, nor needs before it can run."""
        absent = pipeline.inputs() - required_inputs(pipeline.nodes)
        with _unremarked():
            for name in sorted(absent):
                if not catalog.exists(name):
                    catalog[name] = MemoryDataset(data=None)


@contextmanager
def _unremarked() -> Iterator[None]:
    """Keep Kedro from warning of every dataset that is replaced; the node says what it lacks."""
    catalog_logger = logging.getLogger("kedro.io.data_catalog")
    level = catalog_logger.level
    catalog_logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        catalog_logger.setLevel(level)


class StudyCheckHook:
    """Looks for what a run will need late, before it loads or computes anything."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Check evaluators, and the study's target metrics and marking words.

        Raises:
            InputError: If an evaluator is not there, or a node needs more of the study's emotions
                than the profile says.
        """
        metrics: list[str] = []
        for name in pipeline.inputs():
            dataset = catalog.get(name)
            if isinstance(dataset, TextEvaluatorDataset):
                metrics += dataset.check()
        needs = emotion_needs(pipeline.nodes)
        if needs:
            emotions: EmotionSet = catalog.load("params:emotions")
            emotions.require(needs)
            if metrics:
                emotions.check_metrics(metrics)


class ModelResidencyHook:
    """Releases each model after the last node that reads it, and every model when a run ends.

    Evaluators are models of their own kind: they stay while any node still needs them, however
    many language models come and go.
    """

    def __init__(self) -> None:
        self._readers_left: Counter[str] = Counter()
        self._to_release: set[str] = set()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Take over how many models the profile allows in memory."""
        limit = context.config_loader["globals"].get("max_resident", 1)
        resident.max_resident = int(limit)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Count who reads which model."""
        models = set()
        for name in pipeline.inputs():
            dataset = catalog.get(name)
            if isinstance(dataset, LanguageModelDataset | TextEvaluatorDataset):
                models.add(name)
        self._readers_left = Counter(
            name for node in pipeline.nodes for name in node.inputs if name in models
        )

    @hook_impl
    def before_node_run(self, catalog: CatalogProtocol) -> None:
        """Release what the nodes before this one were the last to read.

        Right after a node its inputs are still referenced by the runner; only now can the memory
        really be given back.
        """
        self._release(catalog)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Note the models this node was the last to read."""
        for name in node.inputs:
            if name in self._readers_left:
                self._readers_left[name] -= 1
                if self._readers_left[name] == 0:
                    self._to_release.add(name)

    @hook_impl
    def after_pipeline_run(self, catalog: CatalogProtocol) -> None:
        """Release everything; skipped nodes may have left counts above zero."""
        self._release_all(catalog)

    @hook_impl
    def on_pipeline_error(self, catalog: CatalogProtocol) -> None:
        """Release everything after a failure, too."""
        self._release_all(catalog)

    def _release_all(self, catalog: CatalogProtocol) -> None:
        self._to_release |= set(self._readers_left)
        self._release(catalog)
        self._readers_left = Counter()

    def _release(self, catalog: CatalogProtocol) -> None:
        while self._to_release:
            catalog.release(self._to_release.pop())


@dataclass
class _PhaseRun:
    """What is known so far about one phase of one model."""

    nodes_left: int
    seconds: float = 0.0
    samples: int | None = None
    device: str = "cpu"
    peak_mib: float = 0.0
    nodes: dict[str, float] = field(default_factory=dict)


class PhaseTimingHook:
    """Appends one line to ``timing/phase_timings.jsonl`` when a phase of a model is complete.

    A node's time runs from the first dataset it loads to the last one it has saved, so loading
    a model and writing results count. Peak memory is the process's resident set, sampled while
    the phase's nodes run.
    """

    def __init__(self) -> None:
        self._run_id = ""
        self._catalog: CatalogProtocol | None = None
        self._phases: dict[tuple[str, str], _PhaseRun] = {}
        self._started: dict[str, float] = {}
        self._unsaved: dict[str, int] = {}
        self._memory = PeakMemory()

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Count each phase's nodes."""
        self._run_id = run_params["run_id"]
        self._catalog = catalog
        counts = Counter(_phase_and_model(node) for node in pipeline.nodes)
        self._phases = {key: _PhaseRun(nodes_left=count) for key, count in counts.items()}

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        """Start the node's clock at its first input."""
        if node.name not in self._started:
            self._started[node.name] = perf_counter()
            self._memory.start()

    @hook_impl
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """Note the device and the number of prompts the phase works on."""
        self._unsaved[node.name] = len(node.outputs)
        phase = self._phases.get(_phase_and_model(node))
        if phase is None:  # a worker process sees nodes, but no pipeline
            return
        for name, value in inputs.items():
            if value is None:
                continue
            if name == "prompts":
                phase.samples = len(value)
            elif name.endswith(".activations"):
                phase.samples = len(value["prompts"])
            elif name.endswith(".residual_sweep") and phase.samples is None:
                phase.samples = len(value.get("prompts", ())) or None  # its reader checks it
            elif name.endswith(".language_model"):
                phase.device = str(value.device)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Stop the node's clock at its last output, and close the phase at its last node."""
        if dataset_name == "prompts" and _phase_and_model(node) in self._phases:
            self._phases[_phase_and_model(node)].samples = len(data)
        self._unsaved[node.name] -= 1
        if self._unsaved[node.name] == 0:
            self._finish(node)

    def _finish(self, node: Node) -> None:
        elapsed = perf_counter() - self._started.pop(node.name)
        peak = self._memory.stop()
        phase = self._phases.get(_phase_and_model(node))
        if phase is None:
            return
        phase.seconds += elapsed
        phase.peak_mib = max(phase.peak_mib, peak)
        phase.nodes[node.short_name] = round(elapsed, 3)
        phase.nodes_left -= 1
        if phase.nodes_left == 0:
            self._record(*_phase_and_model(node), phase)

    def _record(self, name: str, model: str, phase: _PhaseRun) -> None:
        if self._catalog is None or not name:
            return
        event = {
            "run_id": self._run_id,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "phase": name,
            "profile": self._catalog.load("params:profile"),
            "model": model or None,
            "device": phase.device,
            "elapsed_seconds": round(phase.seconds, 3),
            "samples": phase.samples,
            "metadata": {"peak_rss_mib": round(phase.peak_mib, 1), "node_seconds": phase.nodes},
            "cli_args": sys.argv[1:],
        }
        self._catalog.save("phase_timings", event)
        logger.info("Phase %s%s took %.1f s", name, f" of {model}" * bool(model), phase.seconds)


def _phase_and_model(node: Node) -> tuple[str, str]:
    """Name a node's phase (its only tag) and its model or pair (its namespace), or ''."""
    return next(iter(sorted(node.tags)), ""), node.namespace or ""
