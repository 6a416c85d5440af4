"""All pipelines of the current profile."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from emotion_circuits.config import current_config
from emotion_circuits.pipelines import (
    activations,
    dataset,
    embedded_models,
    emotion_vectors,
    head_patching,
    head_screening,
    residual_patching,
)
from emotion_circuits.study import read_study

# Datasets that all models share; every other name of a model's phase belongs to the model.
SHARED_INPUTS = frozenset({"prompts", "fresh_prompts", "text_evaluator"})


def register_pipelines() -> dict[str, Pipeline]:
    """Build one pipeline per phase for the models of the current profile.

    Returns:
        Pipelines by phase name. ``__default__`` is the whole study. The two pipelines that make
        and report on the embedded models stand beside it.
    """
    config = current_config()
    study = read_study(config.profile, config["globals"])
    phases = {
        "dataset": dataset.create_pipeline(),
        "activations": _for_models(study.models, activations.create_pipeline()),
        "emotion_vectors": _for_models(study.models, emotion_vectors.create_pipeline()),
        "residual_patching": _for_models(study.models, residual_patching.create_pipeline()),
        "head_screening": _for_models(study.models, head_screening.create_pipeline()),
        "head_patching": _for_models(study.models, head_patching.create_pipeline()),
    }
    return {
        "__default__": sum(phases.values(), Pipeline([])),
        **phases,
        "embedded_models": embedded_models.create_pipeline(),
        "embedded_models_report": embedded_models.create_report_pipeline(),
    }


def _for_models(models: tuple[str, ...], phase: Pipeline) -> Pipeline:
    """Repeat a phase in each model's namespace."""
    parameters = {name for name in phase.inputs() if name.startswith("params:")}
    shared = phase.inputs() & SHARED_INPUTS
    return sum(
        (
            Pipeline(phase, namespace=model, inputs=shared, parameters=parameters)
            for model in models
        ),
        Pipeline([]),
    )
