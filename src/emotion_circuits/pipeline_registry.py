"""All pipelines of the current profile."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from kedro.pipeline import Pipeline

from emotion_circuits.config import current_config
from emotion_circuits.pipelines import (
    activations,
    alignment,
    circuit_interventions,
    circuits,
    compare,
    dataset,
    embedded_models,
    emotion_vectors,
    head_patching,
    head_roles,
    head_screening,
    real_evaluators,
    residual_patching,
    selfcheck,
    statistics,
    transfer_steering,
    vector_comparison,
    vector_export,
)
from emotion_circuits.study import read_study

# Inputs that all models share; every other dataset of a model's phase is in its namespace.
SHARED_INPUTS = frozenset({"prompts", "fresh_prompts", "text_evaluator"})


def register_pipelines() -> dict[str, Pipeline]:
    """Build one pipeline per phase for the models of the current profile.

    Returns:
        Pipelines by phase name. ``__default__`` is the whole study; it excludes ``compare``,
        ``vector_comparison``, ``vector_export``, ``circuits``, ``selfcheck`` and the pipelines that
        train and judge models and evaluators.
    """
    config = current_config()
    study = read_study(config.profile, config["globals"])
    phases = {
        "dataset": dataset.create_pipeline(),
        "activations": _for_models(study.models, activations.create_pipeline()),
        "emotion_vectors": _for_models(study.models, emotion_vectors.create_pipeline()),
        "alignment": _for_pairs(study.pairs, alignment.create_pipeline()),
        "residual_patching": _for_models(study.models, residual_patching.create_pipeline()),
        "transfer_steering": _for_pairs(study.pairs, transfer_steering.create_pipeline()),
        "head_screening": _for_models(study.models, head_screening.create_pipeline()),
        "head_patching": _for_models(study.models, head_patching.create_pipeline()),
        "statistics": statistics.create_pipeline(
            study.models, study.pairs, mode=_raw(config, "statistics", "mode", "all")
        ),
    }
    endings = embedded_models.seed_endings(config["parameters"].get("embedded_models") or {})
    return {
        "__default__": sum(phases.values(), Pipeline([])),
        **phases,
        "compare": compare.create_pipeline(),
        "vector_comparison": _for_models(study.models, vector_comparison.create_pipeline()),
        "vector_export": _for_models(study.models, vector_export.create_pipeline()),
        "circuits": sum(
            (
                _for_models(study.models, circuits.create_pipeline()),
                _for_models(study.models, head_roles.create_pipeline()),
                _for_models(study.models, circuit_interventions.create_pipeline()),
                _for_pairs(study.pairs, head_roles.create_pair_pipeline()),
            ),
            Pipeline([]),
        ),
        "selfcheck": selfcheck.create_pipeline(
            {
                "activations": activations.create_pipeline(),
                "emotion_vectors": emotion_vectors.create_pipeline(),
                "alignment": alignment.create_pipeline(),
                "residual_patching": residual_patching.create_pipeline(),
                "head_screening": head_screening.create_pipeline(),
                "head_patching": head_patching.create_pipeline(),
                "circuits": circuits.create_pipeline(),
                "head_roles": head_roles.create_pipeline(),
            }
        ),
        "embedded_models": embedded_models.create_pipeline(endings),
        "embedded_models_seeds": embedded_models.create_seeds_pipeline(endings),
        "embedded_models_report": embedded_models.create_report_pipeline(endings),
        "real_evaluators": real_evaluators.create_pipeline(
            {**config["globals"], **config["parameters"]}
        ),
    }


def _raw(config: Mapping[str, Any], phase: str, name: str, default: Any) -> Any:
    """Read one parameter without validation; the phase validates it later with the others."""
    values = config["parameters"].get(phase)
    return values.get(name, default) if isinstance(values, Mapping) else default


def _for_models(models: tuple[str, ...], phase: Pipeline) -> Pipeline:
    """Build a copy of a phase in each model's namespace."""
    parameters = {name for name in phase.inputs() if name.startswith("params:")}
    shared = phase.inputs() & SHARED_INPUTS
    return sum(
        (
            Pipeline(phase, namespace=model, inputs=shared, parameters=parameters)
            for model in models
        ),
        Pipeline([]),
    )


def _for_pairs(pairs: tuple[tuple[str, str], ...], phase: Pipeline) -> Pipeline:
    """Build a copy of a phase per pair; inputs named …_a and …_b come from its two models."""
    parameters = {name for name in phase.inputs() if name.startswith("params:")}
    shared = phase.inputs() & SHARED_INPUTS
    of_models = {name for name in phase.inputs() if name.endswith(("_a", "_b"))}
    parts = []
    for pair in pairs:
        models = dict(zip("ab", pair, strict=True))
        inputs = {name: f"{models[name[-1]]}.{name[:-2]}" for name in of_models}
        inputs |= {name: name for name in shared}
        namespace = "_vs_".join(pair)
        with warnings.catch_warnings():
            # Kedro writes inputs from another namespace with a dot in the name.
            warnings.filterwarnings("ignore", "One or more dataset names contain", UserWarning)
            parts.append(Pipeline(phase, namespace=namespace, inputs=inputs, parameters=parameters))
    return sum(parts, Pipeline([]))
