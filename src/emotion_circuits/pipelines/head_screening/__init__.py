"""Phase 6, first part: what each head writes, reads, and does when it is taken away."""

from emotion_circuits.pipelines.head_screening.pipeline import create_pipeline

__all__ = ["create_pipeline"]
