"""Phase 4: whether two models represent emotions alike, up to a linear map."""

from emotion_circuits.pipelines.alignment.pipeline import create_pipeline

__all__ = ["create_pipeline"]
