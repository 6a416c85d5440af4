"""What evaluators of each kind have in common, and how each kind is checked and loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from emotion_circuits.evaluation import vader
from emotion_circuits.evaluation.classifier import check_classifier, label_keys, load_classifier
from emotion_circuits.evaluation.markers import MarkerCounter
from emotion_circuits.evaluation.masking import MaskedClassifier, masked_key
from emotion_circuits.evaluation.spec import EvaluatorSpec


@runtime_checkable
class Scorer(Protocol):
    """Something that gives each text a number for each of its keys."""

    @property
    def name(self) -> str:
        """The metric."""

    @property
    def keys(self) -> tuple[str, ...]:
        """``metric/label`` for each label."""

    def score(
        self, texts: Sequence[str], batch_size: int
    ) -> tuple[Float[np.ndarray, "text label"], int]:
        """Score distinct texts; also return how many were longer than what it reads."""


def check_evaluator(spec: EvaluatorSpec) -> tuple[str, ...]:
    """Check that an evaluator can be loaded, without loading any weights.

    Returns:
        Its keys.

    Raises:
        InputError: If a model, a package or a problem type is missing; the message names the
            evaluator.
    """
    if spec.kind == "vader":
        return vader.keys_of(spec)
    if spec.kind == "markers":
        return MarkerCounter(spec).keys
    keys = label_keys(spec, check_classifier(spec))
    return (*keys, *map(masked_key, keys)) if spec.masked else keys


def load_scorers(spec: EvaluatorSpec, device: torch.device) -> list[Scorer]:
    """Load an evaluator: one scorer, or two of one model if texts are also scored masked.

    Raises:
        InputError: If it cannot be loaded; the message names the evaluator.
    """
    if spec.kind == "vader":
        return [vader.VaderSentiment(spec)]
    if spec.kind == "markers":
        return [MarkerCounter(spec)]
    classifier = load_classifier(spec, device)
    return [classifier, MaskedClassifier(classifier)] if spec.masked else [classifier]
