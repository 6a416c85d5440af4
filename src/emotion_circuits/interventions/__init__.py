"""Reading and changing what a model computes; the only place that adds hooks."""

from emotion_circuits.interventions.capture import HOOK_POINTS, capture_residual

__all__ = ["HOOK_POINTS", "capture_residual"]
