"""Phase 6, second part: ablation of sets of heads, and patching in both directions."""

from emotion_circuits.pipelines.head_patching.pipeline import create_pipeline

__all__ = ["create_pipeline"]
