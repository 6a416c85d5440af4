"""Phase 4, test by intervention: steering one model with another's mapped emotion vectors."""

from emotion_circuits.pipelines.transfer_steering.pipeline import create_pipeline

__all__ = ["create_pipeline"]
