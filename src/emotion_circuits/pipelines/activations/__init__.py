"""Phase 2: capture of the residual stream of every prompt."""

from emotion_circuits.pipelines.activations.pipeline import create_pipeline

__all__ = ["create_pipeline"]
