"""Phase 6, first part: effects of ablating each head, and scores from activations."""

from emotion_circuits.pipelines.head_screening.pipeline import create_pipeline

__all__ = ["create_pipeline"]
