"""A Kedro session that computes missing inputs first and reports user errors in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline
from kedro.runner import AbstractRunner, SequentialRunner
from kedro.validation.exceptions import ParameterValidationError
from kedro.validation.type_extractor import TypeExtractor
from rich.console import Console, RenderableType

from emotion_circuits.config import ProfileConfigLoader, current_config
from emotion_circuits.dry_run import describe_run, models_of, phase_plans
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.leftovers import remove_leftovers
from emotion_circuits.provenance.file_digests import FileDigests
from emotion_circuits.provenance.files import result_files
from emotion_circuits.provenance.hook import records_of
from emotion_circuits.provenance.plan import Plan, Wishes, make_plan, report
from emotion_circuits.provenance.recipe import Recipes
from emotion_circuits.run_lock import locked
from emotion_circuits.runners import ModelMajorRunner

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline.node import Node


class Interrupted(click.ClickException):
    """The user interrupted a run."""

    exit_code = 130  # as a shell reports Ctrl-C

    def __init__(self) -> None:
        super().__init__(
            "interrupted; what is finished is kept, and the same command goes on from there"
        )


class StudySession(KedroSession):
    """Kedro's session, with six additions.

    A selected phase first computes its missing inputs. Results that were made from the same
    parameters, models and data are kept, and others are never mixed with them silently. Nodes run
    model by model. One run at a time writes to a results folder. A dry run only says what would be
    made. An error that the user can fix ends the run with one line instead of a traceback.
    """

    def run(  # type: ignore[override]
        self,
        pipeline_name: str | None = None,
        pipeline_names: list[str] | None = None,
        runner: AbstractRunner | None = None,
        load_versions: dict[str, str] | None = None,
        only_missing_outputs: bool = False,
        wanted: Mapping[str, bool] | None = None,
        **selection: Any,
    ) -> dict[str, Any]:
        """Run a pipeline; the other arguments are those of ``KedroSession.run``.

        Args:
            pipeline_name: A pipeline.
            pipeline_names: Several pipelines; without either, the whole study.
            runner: Runs the nodes.
            load_versions: Versions of datasets to read.
            only_missing_outputs: Make results that are not there, and no others.
            wanted: ``fresh``, ``accept_mixed`` and ``dry_run``, over the runtime parameters of
                these names.
            selection: Which nodes to run.

        Raises:
            click.ClickException: If the user's input is wrong, or the user interrupts the run; the
                message is one line.
        """
        names = [pipeline_name] if pipeline_name else list(pipeline_names or [])
        if runner is None or type(runner) is SequentialRunner:
            runner = ModelMajorRunner(is_async=bool(runner and runner._is_async))
        pipelines.set_requested(None)
        try:
            folder = self._results_folder()
            wishes = Wishes.read(
                {**(self.store.get("runtime_params") or {}), **(wanted or {})},
                only_missing=only_missing_outputs,
            )
            if wishes.dry_run:
                return self._planned_run(names, selection, wishes)
            with locked(folder):
                remove_leftovers(folder)
                return self._planned_run(
                    names, selection, wishes, runner=runner, load_versions=load_versions
                )
        except KeyboardInterrupt as error:
            raise Interrupted from error
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

    def _choose(self, names: list[str], selection: dict[str, Any]) -> Pipeline:
        """Return the selected nodes, and limit the check of parameters to their phases."""
        context = self.load_context()
        requested = _requested_pipeline(names)
        _check_namespaces(requested, selection.get("namespaces"))
        chosen = _select(requested, selection)
        scope = list(dict.fromkeys(_phases(chosen.nodes))) or names
        context._pipelines_to_validate = scope if names else None
        return chosen

    def _planned_run(
        self, names: list[str], selection: dict[str, Any], wishes: Wishes, **options: Any
    ) -> dict[str, Any]:
        """Run the nodes whose results are missing or would be others today."""
        chosen = self._choose(names, selection)
        catalog = self.load_context().catalog
        folder = records_of(catalog)
        digests = FileDigests(folder.path)
        # Training with further seeds is no part of a study, but the model cards need its models.
        study = pipelines["__default__"] + pipelines["embedded_models_seeds"]
        recipes = Recipes(
            catalog, _producers(chosen), _settings(), folder, digests, asked=chosen.inputs()
        )
        plan = make_plan(chosen, study, catalog, recipes, wishes)
        report(plan)
        if wishes.dry_run:
            Console().print(_describe(plan, chosen, catalog))
            return {}
        digests.save()
        outputs = {name: catalog[name] for name in chosen.outputs() & set(plan.kept)}
        if not plan.nodes:
            return outputs
        upstream = list(dict.fromkeys(_phases(plan.upstream)))
        if upstream or len(plan.nodes) < len(chosen.nodes):
            names = [*(names or ["__default__"]), *upstream]
            selection = {"node_names": [node.name for node in [*plan.nodes, *plan.upstream]]}
        folder.announce(plan.records)
        try:
            return outputs | super().run(pipeline_names=names, **options, **selection)
        finally:
            folder.forget_announced()


def _describe(plan: Plan, chosen: Pipeline, catalog: CatalogProtocol) -> RenderableType:
    """Show what a run would make and keep, and the models that it would load."""
    running = [*plan.upstream, *plan.nodes]
    outputs = {name for node in [*running, *chosen.nodes] for name in node.outputs}
    results = [name for name in outputs if result_files(catalog, name) is not None]
    plans = phase_plans(plan, chosen.nodes, results, catalog.load("phase_timings"), pipelines)
    return describe_run(plans, models_of(running, catalog))


def _producers(chosen: Pipeline) -> dict[str, Node]:
    """Return the node that makes each result: a chosen one, or one of the study, or another."""
    parts = [*pipelines.values(), pipelines["__default__"], chosen]
    return {name: node for part in parts for node in part.nodes for name in node.outputs}


def _settings() -> dict[str, type]:
    """Return the class of each group of parameters, as nodes declare it."""
    return TypeExtractor(dict(pipelines)).extract_types_from_pipelines()


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
