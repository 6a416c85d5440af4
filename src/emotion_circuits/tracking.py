"""MLflow tracking of runs, through kedro-mlflow; off unless a profile or run switches it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kedro.framework.hooks import hook_impl
from pydantic import BaseModel

from emotion_circuits.datasets import ResultPlotlyDataset
from emotion_circuits.errors import InputError

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

# The extra of pyproject.toml that brings kedro-mlflow.
EXTRA: Final = "tracking"
_PLUGIN: Final = "emotion_circuits_kedro_mlflow"


class TrackingHook:
    """Logs parameters, phase times and figures of a run to MLflow where ``tracking`` is true.

    kedro-mlflow would track every run as soon as it is installed; settings.py switches that off,
    and this hook starts kedro-mlflow's own hook for the runs that ask for it. Parameters are logged
    as nodes read them; everything else once, when the run has ended.
    """

    def __init__(self) -> None:
        self._is_on = False

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Start kedro-mlflow's hook if the run's ``tracking`` is true.

        Raises:
            InputError: If ``tracking`` is no truth value, or kedro-mlflow is not installed.
        """
        self._is_on = _is_wanted(context)
        hooks = context._hook_manager
        # A session may create a second context; pluggy has told the registered hook of that one.
        if not self._is_on or hooks.has_plugin(_PLUGIN):
            return
        kedro_mlflow = _kedro_mlflow_hook()
        # pluggy calls hooks that were there when a call began; this one is told what it missed.
        kedro_mlflow.after_context_created(context)
        hooks.register(kedro_mlflow, _PLUGIN)

    @hook_impl(tryfirst=True)  # kedro-mlflow's hook ends the MLflow run
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Log the times of the run's phases, and its figures."""
        if not self._is_on:
            return
        import mlflow

        mlflow.log_metrics(_phase_times(catalog, run_params["run_id"]))
        for name in sorted(pipeline.all_outputs()):
            dataset = catalog.get(name)
            if isinstance(dataset, ResultPlotlyDataset):
                mlflow.log_figure(dataset.load(), f"figures/{name}.html")


def _kedro_mlflow_hook() -> Any:
    """Make kedro-mlflow's hook, with the fields of a phase's settings as parameters of their own.

    Raises:
        InputError: If kedro-mlflow is not installed.
    """
    try:
        from kedro_mlflow.framework.hooks import MlflowHook
    except ImportError as error:
        raise InputError(
            "tracking is true, but kedro-mlflow is not installed; "
            f"pip install 'emotion-circuits[{EXTRA}]', or set tracking to false"
        ) from error

    class Hook(MlflowHook):
        @hook_impl
        def before_node_run(
            self, node: Node, catalog: CatalogProtocol, inputs: dict[str, Any], is_async: bool
        ) -> None:
            # It takes tables apart, but not the models into which Kedro validates parameters.
            plain = {
                name: value.model_dump() if isinstance(value, BaseModel) else value
                for name, value in inputs.items()
            }
            super().before_node_run(node, catalog, plain, is_async)

    return Hook()


def _is_wanted(context: KedroContext) -> bool:
    loader = context.config_loader
    wanted = loader["parameters"].get("tracking", False)
    if not isinstance(wanted, bool):
        raise InputError(f"tracking is {wanted!r}; allowed are true and false")
    return wanted


def _phase_times(catalog: CatalogProtocol, run_id: str) -> dict[str, float]:
    """Return seconds and peak memory by phase and model, as MLflow names metrics."""
    metrics = {}
    for event in catalog.load("phase_timings").to_dict("records"):
        if event["run_id"] != run_id:
            continue
        where = "/".join(part for part in (event["phase"], event["model"]) if isinstance(part, str))
        metrics[f"seconds/{where}"] = float(event["elapsed_seconds"])
        metrics[f"peak_rss_mib/{where}"] = float(event["metadata"]["peak_rss_mib"])
    return metrics
