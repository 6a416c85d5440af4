"""Phase 1: prompts in standard form."""

from emotion_circuits.pipelines.dataset.pipeline import create_pipeline

__all__ = ["create_pipeline"]
