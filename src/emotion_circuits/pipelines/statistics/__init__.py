"""Phase 7: effect sizes, intervals, tests and power."""

from emotion_circuits.pipelines.statistics.pipeline import create_pipeline

__all__ = ["create_pipeline"]
