"""Phase 5: steering with emotion vectors, against directions that should do nothing."""

from emotion_circuits.pipelines.residual_patching.pipeline import create_pipeline

__all__ = ["create_pipeline"]
