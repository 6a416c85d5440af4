"""Phase 8, second part: what heads read and write, and their roles."""

from emotion_circuits.pipelines.head_roles.pipeline import create_pair_pipeline, create_pipeline

__all__ = ["create_pair_pipeline", "create_pipeline"]
