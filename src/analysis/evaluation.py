"""Older name of ``emotion_circuits.evaluation``."""

from emotion_circuits.evaluation import TextEvaluator

__all__ = ["TextEvaluator"]
