"""Kedro runners."""

from emotion_circuits.runners.model_major import ModelMajorRunner

__all__ = ["ModelMajorRunner"]
