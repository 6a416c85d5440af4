"""All evaluators of a profile, loaded once and asked together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation.scorer import TextScorer, load_scorer
from emotion_circuits.evaluation.spec import EvaluatorSpec, check_evaluator
from emotion_circuits.language_models.device import resolve_device

logger = logging.getLogger(__name__)

Scores = dict[str, Float[np.ndarray, " text"]]


class TextEvaluator:
    """Scores texts by several classifiers, each loaded when this is made and never again.

    Attributes:
        scorers: The classifiers, by metric.
        device: Where they are.
    """

    def __init__(
        self,
        device: str | torch.device,
        metrics: Mapping[str, Mapping[str, Any]] | Sequence[EvaluatorSpec],
    ) -> None:
        """Load every classifier.

        Args:
            device: ``auto``, or a device as torch names it.
            metrics: For each metric the fields of ``EvaluatorSpec`` (a profile's ``evaluators``
                table), or the specs themselves.

        Raises:
            InputError: If one cannot be loaded; one line names it. All are looked for before the
                first is loaded.
        """
        specs = EvaluatorSpec.from_table(metrics) if isinstance(metrics, Mapping) else metrics
        if not specs:
            raise InputError("no evaluators were given")
        for spec in specs:
            check_evaluator(spec)
        self.device = device if isinstance(device, torch.device) else resolve_device(device)
        self.scorers = {spec.name: load_scorer(spec, self.device) for spec in specs}
        logger.info("Loaded evaluators %s on %s", ", ".join(self.scorers), self.device)

    @classmethod
    def of(cls, scorers: Iterable[TextScorer]) -> TextEvaluator:
        """Make an evaluator of classifiers that are in memory already."""
        evaluator = cls.__new__(cls)
        evaluator.scorers = {scorer.spec.name: scorer for scorer in scorers}
        evaluator.device = next(iter(evaluator.scorers.values())).model.device
        return evaluator

    @property
    def keys(self) -> tuple[str, ...]:
        """All ``metric/label`` keys, in the order of the table and of each model's labels."""
        return tuple(key for scorer in self.scorers.values() for key in scorer.keys)

    def evaluate_batch(self, texts: Sequence[str], batch_size: int = 64) -> Scores:
        """Score texts; each distinct one is scored once.

        A text is scored exactly as it is given, the empty one too: a continuation may be empty,
        and leaving it out would bias every mean towards the texts that are not. How many are
        empty, and how many were longer than a classifier reads and were cut, is logged.

        Args:
            texts: Any number, in any order, with repetitions.
            batch_size: Texts per forward pass; it changes speed and memory, and scores by no more
                than rounding.

        Returns:
            For each ``metric/label`` a probability per text, in the order of the texts.

        Raises:
            InputError: If ``batch_size`` is not positive.
        """
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; allowed are whole numbers from 1")
        # Sorted, so that the same texts in another order meet the same neighbours.
        distinct = sorted(set(texts))
        place = {text: row for row, text in enumerate(distinct)}
        rows = np.array([place[text] for text in texts], dtype=int)
        found: Scores = {}
        cut = {}
        for name, scorer in self.scorers.items():
            scores, cut[name] = scorer.score(distinct, batch_size)
            found |= {key: scores[rows, column] for column, key in enumerate(scorer.keys)}
        n_empty = sum(not text.strip() for text in texts)
        if texts:
            counts = len(texts), len(distinct), n_empty
            logger.info("Scored %d texts (%d distinct, %d empty)", *counts)
        if any(cut.values()):
            logger.warning(
                "Texts longer than an evaluator reads were cut: %s",
                ", ".join(f"{count} by {name}" for name, count in cut.items() if count),
            )
        return found


def nest_scores(scores: Mapping[str, Sequence[float] | np.ndarray]) -> list[dict[str, Any]]:
    """Give ``{metric: {label: float}}`` for each text.

    Args:
        scores: What ``evaluate_batch`` gives.
    """
    lengths = {len(values) for values in scores.values()}
    assert len(lengths) <= 1, "scores of different numbers of texts"
    nested: list[dict[str, Any]] = [{} for _ in range(next(iter(lengths), 0))]
    for key, values in scores.items():
        metric, label = key.split("/", 1)
        for row, value in zip(nested, values, strict=True):
            row.setdefault(metric, {})[label] = float(value)
    return nested


def tabulate_scores(texts: Sequence[str], scores: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Give a table of ``text`` and one column ``metric.label`` for each score.

    Args:
        texts: The texts that were scored.
        scores: What ``evaluate_batch`` gave for them.
    """
    columns = {key.replace("/", ".", 1): values for key, values in scores.items()}
    return pd.DataFrame({"text": list(texts), **columns})
