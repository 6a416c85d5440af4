"""Export of emotion vectors for other tools."""

from emotion_circuits.pipelines.vector_export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
