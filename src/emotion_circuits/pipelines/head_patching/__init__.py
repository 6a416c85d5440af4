"""Phase 6, second part: sets of heads ablated, and patched in both directions."""

from emotion_circuits.pipelines.head_patching.pipeline import create_pipeline

__all__ = ["create_pipeline"]
