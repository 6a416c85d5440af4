"""Older name of functions in ``emotion_circuits.interventions``."""

from emotion_circuits.interventions import generate_with_patching, generate_with_patching_batch

__all__ = ["generate_with_patching", "generate_with_patching_batch"]
