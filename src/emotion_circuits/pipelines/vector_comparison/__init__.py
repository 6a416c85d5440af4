"""Comparison of recipes of emotion vectors."""

from emotion_circuits.pipelines.vector_comparison.pipeline import create_pipeline

__all__ = ["create_pipeline"]
