"""Phase 4's test by intervention: does one model's emotion vector, mapped, steer another model?"""

from emotion_circuits.pipelines.transfer_steering.pipeline import create_pipeline

__all__ = ["create_pipeline"]
