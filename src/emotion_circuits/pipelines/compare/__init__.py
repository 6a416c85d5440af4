"""Comparison of two results folders, file by file, within a tolerance."""

from emotion_circuits.pipelines.compare.pipeline import create_pipeline

__all__ = ["create_pipeline"]
