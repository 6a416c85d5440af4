"""Phase 3: emotion vectors, subspaces and probes."""

from emotion_circuits.pipelines.emotion_vectors.pipeline import create_pipeline

__all__ = ["create_pipeline"]
