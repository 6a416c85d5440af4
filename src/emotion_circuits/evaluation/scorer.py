"""One text classifier, run in batches of texts of similar length."""

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
from emotion_circuits.language_models.sources import resolve_source


@dataclass(frozen=True)
class TextScorer:
    """A classifier in evaluation mode, with float32 weights.

    Attributes:
        spec: The specification that the classifier was loaded from.
        model: The transformers model.
        tokenizer: The model's tokenizer.
        keys: ``metric/label`` for each label, in the order of the model's outputs.
        problem_type: Whether labels exclude each other (softmax) or not (sigmoid).
        max_tokens: The longest input, special tokens included.
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

        Texts of similar length share a batch. The longest come first, so that a lack of memory
        shows at once. The batches depend on the set of texts and not on their order.

        Args:
            texts: Distinct texts; one of them may be empty.
            batch_size: Texts per forward pass.

        Returns:
            Probabilities in float64, which sum to 1 per text where labels exclude each other; and
            the number of texts that were cut at ``max_tokens``.
        """
        lengths = [len(self.tokenizer(text, verbose=False)["input_ids"]) for text in texts]
        n_cut = sum(length > self.max_tokens for length in lengths)
        order = sorted(range(len(texts)), key=lambda index: (-lengths[index], texts[index]))
        scores = np.empty((len(texts), len(self.keys)))
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            batch = self.tokenizer(
                [texts[index] for index in indices],
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            )
            logits = self.model(**batch.to(self.model.device)).logits.float()
            multi = self.problem_type == "multi_label_classification"
            scores[indices] = (logits.sigmoid() if multi else logits.softmax(-1)).cpu().numpy()
        return scores, n_cut


def load_scorer(spec: EvaluatorSpec, device: torch.device) -> TextScorer:
    """Load a classifier from safetensors on the hub or in a folder.

    Raises:
        InputError: If the classifier cannot be loaded, has no known problem type, or lacks
            weights in its files; transformers would add a random head to a model without one.
    """
    what = f"evaluator {spec.name!r}"
    config = check_evaluator(spec)
    source = resolve_source(what, spec.source)
    tokenizer = load_tokenizer(what, source=source, revision=spec.revision)
    model = load_weights(
        AutoModelForSequenceClassification,
        what,
        source=source,
        revision=spec.revision,
        refuse_unexpected=False,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
    )
    return wrap_scorer(spec, model.to(device), tokenizer)


def wrap_scorer(spec: EvaluatorSpec, model: Any, tokenizer: PreTrainedTokenizerFast) -> TextScorer:
    """Build a scorer from a classifier that is already in memory.

    Args:
        spec: Names the metric.
        model: A classifier whose configuration has labels and a ``problem_type``. It is set to
            evaluation mode, and its gradients are switched off.
        tokenizer: The model's tokenizer.

    Raises:
        InputError: If the model names a label twice.
    """
    keys = evaluator_keys(spec, model.config)
    model = model.eval().requires_grad_(False)
    return TextScorer(
        spec, model, tokenizer, keys, model.config.problem_type, _max_tokens(model, tokenizer)
    )


def _max_tokens(model: Any, tokenizer: PreTrainedTokenizerFast) -> int:
    """Return the longest input; RoBERTa's positions start after the padding index."""
    limits = [tokenizer.model_max_length]
    if getattr(model.config, "max_position_embeddings", None):
        embeddings = getattr(model.base_model, "embeddings", None)
        table = getattr(embeddings, "position_embeddings", None)
        reserved = getattr(table, "padding_idx", None)
        first = 0 if reserved is None else reserved + 1
        limits.append(model.config.max_position_embeddings - first)
    return int(min(limits))
