"""Kedro hooks: fill optional inputs, release models, record phase timings."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl
from kedro.io import MemoryDataset

from emotion_circuits.datasets import LanguageModelDataset, TextEvaluatorDataset
from emotion_circuits.errors import InputError
from emotion_circuits.language_models.hub import offer_token
from emotion_circuits.language_models.residency import resident
from emotion_circuits.log_lines import silenced
from emotion_circuits.memory import PeakMemory
from emotion_circuits.node_marks import phase_and_model, required_inputs
from emotion_circuits.redaction import arguments_without_secrets

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


class OptionalInputHook:
    """Replaces each missing optional input of a node by None."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Set to None each optional dataset that is missing and not produced by this run."""
        absent = pipeline.inputs() - required_inputs(pipeline.nodes)
        # Kedro warns about replaced datasets; the node reports missing inputs itself.
        with silenced("kedro.io.data_catalog"):
            for name in sorted(absent):
                if not catalog.exists(name):
                    catalog[name] = MemoryDataset(data=None)


class HubTokenHook:
    """Takes the hub's token from ``conf/local/credentials.yml``; that of the environment wins."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Offer the token ``hub.token`` to requests of the hub, if there is one.

        Raises:
            InputError: If the entry has another form.
        """
        try:
            credentials = context.config_loader["credentials"]
        except MissingConfigException:
            return
        entry = credentials.get("hub")
        if entry is None:
            return
        token = entry.get("token") if isinstance(entry, Mapping) else None
        if not isinstance(token, str) or not token:
            # Without the value, which may be the token.
            raise InputError("credentials.yml: allowed for hub is {token: <text>}")
        offer_token(token)


class ModelResidencyHook:
    """Releases each model after the last node that reads it, and all models when a run ends.

    Evaluators do not count towards ``max_resident``: loading a language model never evicts them.
    """

    def __init__(self) -> None:
        self._readers_left: Counter[str] = Counter()
        self._to_release: set[str] = set()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read the profile's ``max_resident``, the number of models allowed in memory."""
        limit = context.config_loader["globals"].get("max_resident", 1)
        if type(limit) is not int or limit < 1:
            raise InputError(f"max_resident is {limit!r}; allowed is a whole number from 1")
        resident.max_resident = limit

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Count the nodes that read each model."""
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
        """Release the models that earlier nodes were the last to read.

        The runner still refers to a node's inputs right after the node, so their memory can be
        freed only here, before the next node.
        """
        self._release(catalog)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Mark the models that this node was the last to read."""
        for name in node.inputs:
            if name in self._readers_left:
                self._readers_left[name] -= 1
                if self._readers_left[name] == 0:
                    self._to_release.add(name)

    @hook_impl
    def after_pipeline_run(self, catalog: CatalogProtocol) -> None:
        """Release all models; the counts of skipped nodes may still be above zero."""
        self._release_all(catalog)

    @hook_impl
    def on_pipeline_error(self, catalog: CatalogProtocol) -> None:
        """Release all models after a failure."""
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
    """Measurements so far of one phase of one model."""

    nodes_left: int
    seconds: float = 0.0
    samples: int | None = None
    device: str = "cpu"
    peak_mib: float = 0.0
    nodes: dict[str, float] = field(default_factory=dict)


class PhaseTimingHook:
    """Appends one line to ``timing/phase_timings.jsonl`` when a phase of a model is complete.

    A node's time runs from its first load to its last save, so it includes loading a model and
    writing results. Peak memory is the process's resident set, sampled while the nodes run.
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
        """Count the nodes of each phase."""
        self._stop_clocks()
        self._run_id = run_params["run_id"]
        self._catalog = catalog
        counts = Counter(phase_and_model(node) for node in pipeline.nodes)
        self._phases = {key: _PhaseRun(nodes_left=count) for key, count in counts.items()}

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Stop measuring the nodes that did not finish."""
        self._stop_clocks()

    def _stop_clocks(self) -> None:
        """Forget nodes that an earlier run in this process left unfinished."""
        self._started.clear()
        self._unsaved.clear()
        self._memory.stop()

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        """Start the node's clock at its first input."""
        if node.name not in self._started:
            self._started[node.name] = perf_counter()
            self._memory.start()

    @hook_impl
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """Record the device and the number of prompts of the phase."""
        self._unsaved[node.name] = len(node.outputs)
        phase = self._phases.get(phase_and_model(node))
        if phase is None:  # worker processes get nodes without a pipeline
            return
        steers = any(name.endswith(".residual_sweep") for name in inputs)
        for name, value in inputs.items():
            if value is None:
                continue
            if name == "prompts":
                phase.samples = len(value)
            elif name.endswith(".activations") and not steers:
                phase.samples = len(value["prompts"])
            elif name.endswith(".residual_sweep") and phase.samples is None:
                phase.samples = len(value.get("prompts", ())) or None  # its reader checks the keys
            elif name.endswith(".language_model"):
                phase.device = str(value.device)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Stop the node's clock at its last output, and record the phase at its last node."""
        if dataset_name == "prompts" and phase_and_model(node) in self._phases:
            self._phases[phase_and_model(node)].samples = len(data)
        self._unsaved[node.name] -= 1
        if self._unsaved[node.name] == 0:
            self._finish(node)

    def _finish(self, node: Node) -> None:
        elapsed = perf_counter() - self._started.pop(node.name)
        peak = self._memory.stop()
        phase = self._phases.get(phase_and_model(node))
        if phase is None:
            return
        phase.seconds += elapsed
        phase.peak_mib = max(phase.peak_mib, peak)
        phase.nodes[node.short_name] = round(elapsed, 3)
        phase.nodes_left -= 1
        if phase.nodes_left == 0:
            self._record(*phase_and_model(node), phase)

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
            "cli_args": arguments_without_secrets(sys.argv[1:]),
        }
        self._catalog.save("phase_timings", event)
        logger.info("Phase %s%s is done", name, f" of {model}" * bool(model))
