"""Trains the models that the project ships, and reports how good they are."""

from emotion_circuits.pipelines.embedded_models.pipeline import (
    create_pipeline,
    create_report_pipeline,
)

__all__ = ["create_pipeline", "create_report_pipeline"]
