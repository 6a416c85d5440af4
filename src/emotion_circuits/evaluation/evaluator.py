"""Scores of texts by all evaluators of a profile."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation.classifier import TextClassifier
from emotion_circuits.evaluation.kinds import Scorer, check_evaluator, load_scorers
from emotion_circuits.evaluation.spec import EvaluatorSpec
from emotion_circuits.language_models.device import resolve_device

logger = logging.getLogger(__name__)

Scores = dict[str, Float[np.ndarray, " text"]]


class TextEvaluator:
    """Scores texts with several evaluators, which are loaded once, by the constructor.

    Attributes:
        scorers: The evaluators, by metric.
        device: The device of all classifiers.
    """

    def __init__(
        self,
        device: str | torch.device,
        metrics: Mapping[str, Mapping[str, Any]] | Sequence[EvaluatorSpec],
    ) -> None:
        """Load every evaluator.

        Args:
            device: ``auto`` or a torch device.
            metrics: For each metric the fields of ``EvaluatorSpec`` (a profile's ``evaluators``
                table), or the specs themselves.

        Raises:
            InputError: If an evaluator cannot be loaded; the message names it. All of them
                are checked before the first is loaded.
        """
        specs = EvaluatorSpec.from_table(metrics) if isinstance(metrics, Mapping) else metrics
        if not specs:
            raise InputError("no evaluators were given")
        for spec in specs:
            check_evaluator(spec)
        self.device = device if isinstance(device, torch.device) else resolve_device(device)
        self.scorers: dict[str, Scorer] = {
            scorer.name: scorer for spec in specs for scorer in load_scorers(spec, self.device)
        }
        logger.info("Loaded evaluators %s on %s", ", ".join(self.scorers), self.device)

    @classmethod
    def of(cls, classifiers: Iterable[TextClassifier]) -> TextEvaluator:
        """Build an evaluator from classifiers that are already in memory."""
        evaluator = cls.__new__(cls)
        loaded = list(classifiers)
        evaluator.scorers = {classifier.name: classifier for classifier in loaded}
        evaluator.device = loaded[0].model.device
        return evaluator

    @property
    def keys(self) -> tuple[str, ...]:
        """All ``metric/label`` keys, in the order of the metrics and of each model's labels."""
        return tuple(key for scorer in self.scorers.values() for key in scorer.keys)

    def evaluate_batch(self, texts: Sequence[str], batch_size: int = 64) -> Scores:
        """Score texts; each distinct text is scored once.

        Texts are scored unchanged, including empty ones: a continuation may be empty, and
        dropping it would bias every mean towards the other texts. The log counts empty texts and
        texts that were cut because they are longer than a classifier's input.

        Args:
            texts: Any number of texts, in any order, with repetitions.
            batch_size: Texts per forward pass; affects speed and memory, and scores only by
                rounding.

        Returns:
            For each ``metric/label`` one number per text, in the order of ``texts``.

        Raises:
            InputError: If ``batch_size`` is not positive.
        """
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; allowed are whole numbers from 1")
        # Sorted, so that batches do not depend on the order of the texts.
        distinct = sorted(set(texts))
        index_of = {text: index for index, text in enumerate(distinct)}
        indices = np.array([index_of[text] for text in texts], dtype=int)
        result: Scores = {}
        cut = {}
        for name, scorer in self.scorers.items():
            scores, cut[name] = scorer.score(distinct, batch_size)
            result |= {key: scores[indices, column] for column, key in enumerate(scorer.keys)}
        n_empty = sum(not text.strip() for text in texts)
        if texts:
            counts = len(texts), len(distinct), n_empty
            logger.info("Scored %d texts (%d distinct, %d empty)", *counts)
        if any(cut.values()):
            logger.warning(
                "Texts longer than an evaluator reads were cut: %s",
                ", ".join(f"{count} by {name}" for name, count in cut.items() if count),
            )
        return result


def nest_scores(scores: Mapping[str, Sequence[float] | np.ndarray]) -> list[dict[str, Any]]:
    """Return ``{metric: {label: probability}}`` for each text.

    Args:
        scores: The result of ``evaluate_batch``.
    """
    lengths = {len(values) for values in scores.values()}
    assert len(lengths) <= 1, "scores of different numbers of texts"
    nested: list[dict[str, Any]] = [{} for _ in range(next(iter(lengths), 0))]
    for key, values in scores.items():
        metric, label = key.split("/", 1)
        for text_scores, value in zip(nested, values, strict=True):
            text_scores.setdefault(metric, {})[label] = float(value)
    return nested


def tabulate_scores(texts: Sequence[str], scores: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return a table with the column ``text`` and one column ``metric.label`` per score.

    Args:
        texts: The scored texts.
        scores: The result of ``evaluate_batch`` for these texts.
    """
    columns = {key.replace("/", ".", 1): values for key, values in scores.items()}
    return pd.DataFrame({"text": list(texts), **columns})
