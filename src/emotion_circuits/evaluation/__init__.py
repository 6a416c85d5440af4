"""Scores of texts by evaluators of several kinds, and their likelihood under a language model."""

from emotion_circuits.evaluation.classifier import TextClassifier, load_classifier, wrap_classifier
from emotion_circuits.evaluation.evaluator import (
    Scores,
    TextEvaluator,
    nest_scores,
    tabulate_scores,
)
from emotion_circuits.evaluation.fluency import continuation_nll
from emotion_circuits.evaluation.kinds import Scorer, check_evaluator
from emotion_circuits.evaluation.masking import mask_words, masked_key
from emotion_circuits.evaluation.spec import EvaluatorSpec

__all__ = [
    "EvaluatorSpec",
    "Scorer",
    "Scores",
    "TextClassifier",
    "TextEvaluator",
    "check_evaluator",
    "continuation_nll",
    "load_classifier",
    "mask_words",
    "masked_key",
    "nest_scores",
    "tabulate_scores",
    "wrap_classifier",
]
