"""One text classifier: loaded as any other model, run in batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from emotion_circuits.evaluation.spec import (
    EvaluatorSpec,
    ProblemType,
    check_evaluator,
    evaluator_keys,
)
from emotion_circuits.language_models.pretrained import load_tokenizer, load_weights


@dataclass(frozen=True)
class TextScorer:
    """A classifier in evaluation mode, with float32 weights.

    Attributes:
        spec: What it was loaded from.
        model: The transformers model.
        tokenizer: Its tokenizer.
        keys: ``metric/label`` for each label, in the order of the model's outputs.
        problem_type: Whether labels exclude each other (softmax) or not (sigmoid).
        max_tokens: The longest text it reads, special tokens included.
    """

    spec: EvaluatorSpec
    model: Any
    tokenizer: PreTrainedTokenizerFast
    keys: tuple[str, ...]
    problem_type: ProblemType
    max_tokens: int

    @torch.no_grad()
    def score(
        self, texts: Sequence[str], batch_size: int
    ) -> tuple[Float[np.ndarray, "text label"], int]:
        """Score distinct texts.

        Texts of similar length share a batch, the longest first: if it does not fit into memory,
        that shows at once. Which texts share one follows from the set of texts alone, not from
        their order.

        Args:
            texts: Without repetitions; the empty text is a text.
            batch_size: Texts per forward pass.

        Returns:
            Probabilities, float64: each label's own for several labels, of all labels together
            one for exclusive ones. And how many texts were cut at ``max_tokens``.
        """
        lengths = [len(self.tokenizer(text, verbose=False)["input_ids"]) for text in texts]
        n_cut = sum(length > self.max_tokens for length in lengths)
        order = sorted(range(len(texts)), key=lambda row: (-lengths[row], texts[row]))
        scores = np.empty((len(texts), len(self.keys)))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = self.tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            )
            logits = self.model(**batch.to(self.model.device)).logits.float()
            multi = self.problem_type == "multi_label_classification"
            scores[rows] = (logits.sigmoid() if multi else logits.softmax(-1)).cpu().numpy()
        return scores, n_cut


def load_scorer(spec: EvaluatorSpec, device: torch.device) -> TextScorer:
    """Load a classifier from the hub or a folder, from safetensors only.

    Raises:
        InputError: If it cannot be loaded, does not say what its scores mean, or has weights that
            its files do not hold: transformers would make a random head for a model without one.
    """
    what = f"evaluator {spec.name!r}"
    config = check_evaluator(spec)
    tokenizer = load_tokenizer(what, source=spec.source, revision=spec.revision)
    model = load_weights(
        AutoModelForSequenceClassification,
        what,
        source=spec.source,
        revision=spec.revision,
        refuse_unexpected=False,
        config=config,
        dtype=torch.float32,
    )
    return wrap_scorer(spec, model.to(device), tokenizer)


def wrap_scorer(spec: EvaluatorSpec, model: Any, tokenizer: PreTrainedTokenizerFast) -> TextScorer:
    """Score with a classifier that is in memory already.

    Args:
        spec: Names the metric.
        model: Its configuration names its labels and its ``problem_type``; it is in evaluation
            mode and without gradients from now on.
        tokenizer: Its tokenizer.

    Raises:
        InputError: If it names a label twice.
    """
    keys = evaluator_keys(spec, model.config)
    model = model.eval().requires_grad_(False)
    return TextScorer(
        spec, model, tokenizer, keys, model.config.problem_type, _max_tokens(model, tokenizer)
    )


def _max_tokens(model: Any, tokenizer: PreTrainedTokenizerFast) -> int:
    """Give the longest input; RoBERTa's position table begins after the padding's index."""
    limits = [tokenizer.model_max_length]
    if getattr(model.config, "max_position_embeddings", None):
        embeddings = getattr(model.base_model, "embeddings", None)
        table = getattr(embeddings, "position_embeddings", None)
        reserved = getattr(table, "padding_idx", None)
        first = 0 if reserved is None else reserved + 1
        limits.append(model.config.max_position_embeddings - first)
    return int(min(limits))
