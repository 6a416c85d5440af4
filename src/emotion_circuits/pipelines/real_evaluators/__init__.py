"""Training of evaluators of natural English, from a pretrained encoder."""

from emotion_circuits.pipelines.real_evaluators.pipeline import create_pipeline

__all__ = ["create_pipeline"]
