"""Phase 5: steering with emotion vectors, against control directions."""

from emotion_circuits.pipelines.residual_patching.pipeline import create_pipeline

__all__ = ["create_pipeline"]
