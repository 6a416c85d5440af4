"""Evaluator of sentiment by the VADER lexicon (Hutto & Gilbert 2014, ICWSM)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation.spec import EvaluatorSpec

# Labels and what VADER calls them: shares of the text, and the sum of valences on -1 to 1.
_LABELS: Final = {"positive": "pos", "neutral": "neu", "negative": "neg", "compound": "compound"}


class VaderSentiment:
    """Sentiment of a text by rules over a lexicon.

    Attributes:
        name: The metric.
        keys: ``metric/positive``, ``/neutral``, ``/negative`` (shares of the text, which sum to 1
            up to VADER's rounding) and ``/compound`` (-1 to 1).
    """

    def __init__(self, spec: EvaluatorSpec) -> None:
        """Load the lexicon.

        Raises:
            InputError: If the package vaderSentiment is not installed.
        """
        self.name = spec.name
        self.keys = keys_of(spec)
        self._analyzer: Any = _analyzer_class(spec)()

    def score(
        self,
        texts: Sequence[str],
        batch_size: int,  # noqa: ARG002
    ) -> tuple[Float[np.ndarray, "text label"], int]:
        """Score texts; ``batch_size`` has no effect, and no text is ever cut."""
        said = [self._analyzer.polarity_scores(text) for text in texts]
        scores = [[scores[own] for own in _LABELS.values()] for scores in said]
        return np.array(scores, dtype=float).reshape(len(texts), len(self.keys)), 0


def keys_of(spec: EvaluatorSpec) -> tuple[str, ...]:
    """Return the keys, if the package is there.

    Raises:
        InputError: If the package vaderSentiment is not installed.
    """
    _analyzer_class(spec)
    return tuple(f"{spec.name}/{label}" for label in _LABELS)


def _analyzer_class(spec: EvaluatorSpec) -> Any:
    try:
        return importlib.import_module("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer
    except ModuleNotFoundError as error:
        raise InputError(
            f"evaluator {spec.name!r}: kind vader needs the package vaderSentiment; "
            f"install emotion-circuits[real]"
        ) from error
