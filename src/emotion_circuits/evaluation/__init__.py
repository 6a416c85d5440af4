"""Scores of texts: probabilities from text classifiers, and likelihood under a language model."""

from emotion_circuits.evaluation.evaluator import (
    Scores,
    TextEvaluator,
    nest_scores,
    tabulate_scores,
)
from emotion_circuits.evaluation.fluency import continuation_nll
from emotion_circuits.evaluation.scorer import TextScorer, load_scorer, wrap_scorer
from emotion_circuits.evaluation.spec import EvaluatorSpec, check_evaluator, evaluator_keys

__all__ = [
    "EvaluatorSpec",
    "Scores",
    "TextEvaluator",
    "TextScorer",
    "check_evaluator",
    "continuation_nll",
    "evaluator_keys",
    "load_scorer",
    "nest_scores",
    "tabulate_scores",
    "wrap_scorer",
]
