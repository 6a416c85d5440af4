"""What a text says, by classifiers that read nothing but the text, and how likely it is."""

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
