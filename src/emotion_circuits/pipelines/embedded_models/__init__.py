"""Training of the models that the project ships, and measures of their quality."""

from emotion_circuits.pipelines.embedded_models.pipeline import (
    create_pipeline,
    create_report_pipeline,
    create_seeds_pipeline,
    seed_endings,
)

__all__ = ["create_pipeline", "create_report_pipeline", "create_seeds_pipeline", "seed_endings"]
