"""A Kedro session that computes missing inputs first and reports user errors in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline
from kedro.runner import AbstractRunner, SequentialRunner
from kedro.validation.exceptions import ParameterValidationError

from emotion_circuits.config import ProfileConfigLoader, current_config
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.leftovers import remove_leftovers
from emotion_circuits.node_marks import required_inputs
from emotion_circuits.run_lock import locked
from emotion_circuits.runners import ModelMajorRunner

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


class StudySession(KedroSession):
    """Kedro's session, with four additions.

    A selected phase first computes its missing inputs. Nodes run model by model. One run at a time
    writes to a results folder. An error that the user can fix ends the run with one line instead
    of a traceback.
    """

    def run(  # type: ignore[override]
        self,
        pipeline_name: str | None = None,
        pipeline_names: list[str] | None = None,
        runner: AbstractRunner | None = None,
        load_versions: dict[str, str] | None = None,
        only_missing_outputs: bool = False,
        **selection: Any,
    ) -> dict[str, Any]:
        """Run a pipeline; the arguments are those of ``KedroSession.run``.

        Raises:
            click.ClickException: If the user's input is wrong; the message is one line.
        """
        names = [pipeline_name] if pipeline_name else list(pipeline_names or [])
        if runner is None or type(runner) is SequentialRunner:
            runner = ModelMajorRunner(is_async=bool(runner and runner._is_async))
        pipelines.set_requested(None)
        try:
            folder = self._results_folder()
            with locked(folder):
                remove_leftovers(folder)
                names, selection = self._with_missing_upstream(names, selection)
                return super().run(
                    pipeline_names=names,
                    runner=runner,
                    load_versions=load_versions,
                    only_missing_outputs=only_missing_outputs,
                    **selection,
                )
        except Exception as error:
            line = _line_for_user(error)
            if line is None:
                raise
            raise click.ClickException(line) from error

    def _results_folder(self) -> Path:
        """Return the folder of the profile's results, as the catalog's entries name it."""
        loader = self.load_context().config_loader
        assert isinstance(loader, ProfileConfigLoader)
        root = (loader.runtime_params or {}).get("results_root", "results")
        return self._project_path / str(root) / loader.profile

    def _with_missing_upstream(
        self, names: list[str], selection: dict[str, Any]
    ) -> tuple[list[str], dict[str, Any]]:
        """Add the nodes that produce missing inputs to a selection."""
        context = self.load_context()
        requested = _requested_pipeline(names)
        _check_namespaces(requested, selection.get("namespaces"))
        chosen = _select(requested, selection)
        scope = list(dict.fromkeys(_phases(chosen.nodes))) or names
        context._pipelines_to_validate = scope if names else None
        # Training with further seeds is no part of a study, but the model cards need its models.
        producers = pipelines["__default__"] + pipelines["embedded_models_seeds"]
        missing = missing_upstream(chosen, producers, context.catalog)
        old = outdated(chosen, [*chosen.nodes, *missing], pipelines["__default__"], context.catalog)
        for name, source in old.items():
            logger.warning("%s is older than %s, which it was made from; it is used", name, source)
        if not missing:
            return names, selection
        phases = list(dict.fromkeys(_phases(missing)))
        logger.info("Missing inputs are computed first: %s", ", ".join(phases))
        nodes = [node.name for node in [*chosen.nodes, *missing]]
        return [*(names or ["__default__"]), *phases], {"node_names": nodes}


def missing_upstream(chosen: Pipeline, study: Pipeline, catalog: CatalogProtocol) -> list[Node]:
    """Find the nodes that must run before a selection can run.

    Args:
        chosen: The selected nodes.
        study: All nodes that could produce their inputs.
        catalog: Tells which inputs exist.

    Returns:
        The nodes of ``study`` that produce missing inputs, directly or indirectly, in the study's
        order. Optional inputs (``takes_what_is_there``) count as not missing.
    """
    producers = {output: node for node in study.nodes for output in node.outputs}
    needed: set[Node] = set()
    wanted = [name for name in chosen.inputs() & required_inputs(chosen.nodes) if name in producers]
    while wanted:
        name = wanted.pop()
        node = producers.get(name)
        if node is None or node in needed or catalog.exists(name):
            continue
        needed.add(node)
        wanted.extend(required_inputs([node]))
    return [node for node in study.nodes if node in needed and node not in set(chosen.nodes)]


def outdated(
    chosen: Pipeline, running: Iterable[Node], study: Pipeline, catalog: CatalogProtocol
) -> dict[str, str]:
    """Find existing results that a selection reads and that are older than their own inputs.

    The test compares file times: it notices new texts or activations, but no changed parameters.

    Args:
        chosen: The selected nodes.
        running: All nodes that run; their outputs count as new.
        study: All nodes that could have produced the inputs.
        catalog: Knows the files.

    Returns:
        For each outdated result its newest input.
    """
    producers = {output: node for node in study.nodes for output in node.outputs}
    fresh = {output for node in running for output in node.outputs}
    wanted, seen, newer_inputs = sorted(chosen.inputs()), set(fresh), {}
    while wanted:
        name = wanted.pop()
        if name in seen or name not in producers:
            continue
        seen.add(name)
        modified = _modified(name, catalog)
        times = {source: _modified(source, catalog) for source in producers[name].inputs}
        if modified and max(times.values(), default=0) > modified:
            newer_inputs[name] = max(times, key=lambda source: times[source])
        wanted.extend(producers[name].inputs)
    return dict(sorted(newer_inputs.items()))


def _modified(name: str, catalog: CatalogProtocol) -> int:
    """Return a file's modification time in nanoseconds; 0 without a file."""
    path = getattr(catalog.get(name), "_filepath", None)
    return Path(path).stat().st_mtime_ns if path and Path(path).is_file() else 0


def _requested_pipeline(names: list[str]) -> Pipeline:
    for name in names:
        if name not in pipelines:
            raise unknown_name("pipeline", name, sorted(pipelines))
    return sum((pipelines[name] for name in names or ["__default__"]), Pipeline([]))


def _check_namespaces(requested: Pipeline, namespaces: Iterable[str] | None) -> None:
    known = _namespaces(requested)
    for name in namespaces or ():
        if name in known:
            continue
        if name in _namespaces(pipelines["__default__"]):
            raise InputError(
                f"{name!r} has no part in the pipelines that were asked for; "
                f"known: {', '.join(known) or 'none'}"
            )
        kind = "pair" if "_vs_" in name else "model"
        raise unknown_name(kind, name, known, where=f"profile {current_config().profile!r}")


def _namespaces(pipeline: Pipeline) -> list[str]:
    return list(dict.fromkeys(node.namespace for node in pipeline.nodes if node.namespace))


def _select(requested: Pipeline, selection: dict[str, Any]) -> Pipeline:
    arguments = dict(selection)
    arguments["node_namespaces"] = arguments.pop("namespaces", None)
    try:
        return requested.filter(**arguments)
    except ValueError as error:
        raise InputError(str(error)) from error


def _phases(nodes: Iterable[Node]) -> Iterator[str]:
    """Yield the phase of each node, which is the node's tag."""
    for node in nodes:
        yield from (tag for tag in sorted(node.tags) if tag in pipelines)


def _line_for_user(error: BaseException) -> str | None:
    """Return the line for an error that the user can fix; None for a fault of the program."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, InputError):
            return str(seen)
        if isinstance(seen, ParameterValidationError):
            lines = str(seen).splitlines()[1:] or [str(seen)]
            return "; ".join(line.removeprefix("- ").strip() for line in lines)
        seen = seen.__cause__ or seen.__context__
    return None
