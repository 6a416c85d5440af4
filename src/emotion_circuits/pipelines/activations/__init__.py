"""Phase 2: the residual stream of every prompt, at every layer."""

from emotion_circuits.pipelines.activations.pipeline import create_pipeline

__all__ = ["create_pipeline"]
