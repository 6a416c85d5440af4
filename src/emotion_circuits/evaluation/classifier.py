"""One text classifier, run in batches of texts of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation.spec import PROBLEM_TYPES, EvaluatorSpec, ProblemType
from emotion_circuits.language_models.pretrained import (
    check_folder,
    from_pretrained,
    load_tokenizer,
    load_weights,
)
from emotion_circuits.language_models.sources import resolve_source


@dataclass(frozen=True)
class TextClassifier:
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
    tokenizer: transformers.PreTrainedTokenizerFast
    keys: tuple[str, ...]
    problem_type: ProblemType
    max_tokens: int

    @property
    def name(self) -> str:
        """The metric."""
        return self.spec.name

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


def load_classifier(spec: EvaluatorSpec, device: torch.device) -> TextClassifier:
    """Load a classifier from safetensors on the hub or in a folder.

    Raises:
        InputError: If the classifier cannot be loaded, has no known problem type, or lacks
            weights in its files; transformers would add a random head to a model without one.
    """
    what = f"evaluator {spec.name!r}"
    config = check_classifier(spec)
    source = _source_of(what, spec)
    tokenizer = load_tokenizer(what, source=source, revision=spec.revision)
    model = load_weights(
        transformers.AutoModelForSequenceClassification,
        what,
        source=source,
        revision=spec.revision,
        refuse_unexpected=False,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
    )
    return wrap_classifier(spec, model.to(device), tokenizer)


def wrap_classifier(
    spec: EvaluatorSpec, model: Any, tokenizer: transformers.PreTrainedTokenizerFast
) -> TextClassifier:
    """Build an evaluator from a classifier that is already in memory.

    Args:
        spec: Names the metric.
        model: A classifier whose configuration has labels and a ``problem_type``. It is set to
            evaluation mode, and its gradients are switched off.
        tokenizer: The model's tokenizer.

    Raises:
        InputError: If the model names a label twice.
    """
    keys = label_keys(spec, model.config)
    model = model.eval().requires_grad_(False)
    return TextClassifier(
        spec, model, tokenizer, keys, model.config.problem_type, _max_tokens(model, tokenizer)
    )


def _max_tokens(model: Any, tokenizer: transformers.PreTrainedTokenizerFast) -> int:
    """Return the longest input; RoBERTa's positions start after the padding index."""
    limits = [tokenizer.model_max_length]
    if getattr(model.config, "max_position_embeddings", None):
        embeddings = getattr(model.base_model, "embeddings", None)
        table = getattr(embeddings, "position_embeddings", None)
        reserved = getattr(table, "padding_idx", None)
        first = 0 if reserved is None else reserved + 1
        limits.append(model.config.max_position_embeddings - first)
    return int(min(limits))


def check_classifier(spec: EvaluatorSpec) -> Any:
    """Check that a classifier exists and has a problem type, without loading its weights.

    A folder must hold all its files. For a hub repository the configuration is fetched, so that a
    wrong id, a missing licence or a missing network stops a run at its start.

    Returns:
        The model's configuration with its ``problem_type`` set.

    Raises:
        InputError: If the evaluator does not exist, or neither its configuration nor the profile
            states the problem type; the message names the evaluator.
    """
    what = f"evaluator {spec.name!r}"
    source = _source_of(what, spec)
    check_folder(what, source)
    # transformers takes a name without a slash for a hub repository; here it means a path.
    if "/" not in source and not Path(source).is_dir():
        raise InputError(f"{what}: there is no folder {source!r}, and a hub id has a slash")
    config = from_pretrained(transformers.AutoConfig, what, source=source, revision=spec.revision)
    config.problem_type = _problem_type(spec, config)
    return config


def label_keys(spec: EvaluatorSpec, config: Any) -> tuple[str, ...]:
    """Return ``metric/label`` for each label of a classifier.

    Args:
        spec: Names the metric.
        config: The model's configuration.

    Raises:
        InputError: If the configuration names a label twice.
    """
    labels = [str(config.id2label[index]) for index in range(config.num_labels)]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"evaluator {spec.name!r}: {spec.source!r} names a label twice: {', '.join(labels)}"
        )
    return tuple(f"{spec.name}/{label}" for label in labels)


def _problem_type(spec: EvaluatorSpec, config: Any) -> ProblemType:
    """Return the stated problem type; it is never guessed, since it defines what a score means."""
    own: Any = getattr(config, "problem_type", None)
    stated: Any = spec.problem_type if own is None else own
    what = f"evaluator {spec.name!r}: {spec.source!r}"
    if stated is None:
        raise InputError(
            f"{what} does not say whether several labels may apply; set problem_type in its row "
            f"of the profile's evaluators to one of {', '.join(PROBLEM_TYPES)}"
        )
    if stated not in PROBLEM_TYPES:
        raise InputError(f"{what} has problem_type {stated!r}; allowed: {', '.join(PROBLEM_TYPES)}")
    if spec.problem_type not in (None, stated):
        raise InputError(
            f"{what} has problem_type {stated!r} by its own config.json, but its row in the "
            f"profile says {spec.problem_type!r}; remove one of them"
        )
    problem_type: ProblemType = stated
    return problem_type


def _source_of(what: str, spec: EvaluatorSpec) -> str:
    assert spec.source is not None, "the specification of a classifier has a source"
    return resolve_source(what, spec.source)
