"""Training an evaluator: a classifier of reactions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from sklearn.metrics import recall_score, roc_auc_score
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from emotion_circuits.training.architectures import CONTEXT, EVALUATORS
from emotion_circuits.training.schedule import Progress, TrainingSettings, train


@dataclass(frozen=True)
class LabelledBatch:
    """Padded texts with their labels.

    Attributes:
        token_ids: ``[batch, pos]``.
        attention_mask: ``[batch, pos]``, 1 for real tokens.
        targets: ``[batch, label]``, 1.0 where a label applies.
    """

    token_ids: Int[Tensor, "batch pos"]
    attention_mask: Int[Tensor, "batch pos"]
    targets: Float[Tensor, "batch label"]


def targets_of(reactions: pd.DataFrame, evaluator: str) -> Float[Tensor, "text label"]:
    """Give a row of zeros and ones per reaction, over the labels of an evaluator."""
    labels, _ = EVALUATORS[evaluator]
    named = reactions[evaluator]
    applying = [set(value) if isinstance(value, tuple) else {value} for value in named]
    return torch.tensor([[float(label in found) for label in labels] for found in applying])


def start_biases_at_priors(model: PreTrainedModel, targets: Float[Tensor, "text label"]) -> None:
    """Let an untrained multi-label classifier predict each label at its share of the texts.

    Started at 0.5 for each of 28 labels, a small model learns little more than that most labels
    are rare, and stays a constant. A label that never applies starts as if half a text had it.
    """
    shares = targets.mean(0).clamp(0.5 / len(targets), 1 - 0.5 / len(targets))
    with torch.no_grad():
        model.classifier.out_proj.bias.copy_(torch.logit(shares))


def classification_loss(
    logits: Float[Tensor, "batch label"], targets: Float[Tensor, "batch label"], problem_type: str
) -> Float[Tensor, ""]:
    """Cross-entropy for one label a text, the mean of binary ones for several."""
    if problem_type == "multi_label_classification":
        return functional.binary_cross_entropy_with_logits(logits, targets)
    return functional.cross_entropy(logits, targets)


def validation_error(
    logits: Float[Tensor, "text label"], targets: Float[Tensor, "text label"], problem_type: str
) -> float:
    """Tell how often a classifier orders or names texts wrongly, whatever its confidence.

    On phrasings that it has not seen a classifier's loss is soon that of a few texts about which
    it is sure and wrong, while it still learns about all others.

    Args:
        logits: What it says.
        targets: What is true.
        problem_type: The model's own.

    Returns:
        One minus the macro AUROC over labels that occur (several labels a text) or one minus the
        mean recall over labels (one label a text).
    """
    truth, said = targets.cpu().numpy(), logits.float().cpu().numpy()
    if problem_type == "multi_label_classification":
        mixed = truth.any(axis=0) & ~truth.all(axis=0)
        return 1.0 - float(roc_auc_score(truth[:, mixed], said[:, mixed], average="macro"))
    recall = recall_score(truth.argmax(1), said.argmax(1), average="macro", zero_division=0.0)
    return 1.0 - float(recall)


def train_evaluator(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    evaluator: str,
    reactions: pd.DataFrame,
    validation_reactions: pd.DataFrame,
    *,
    settings: TrainingSettings,
    word_dropout: float,
    seed: int,
) -> Progress:
    """Train an evaluator in place.

    Words are hidden at random: a classifier that sees few phrasings, each of them often, would
    otherwise learn them by heart, and know nothing of others that share words with them.

    Args:
        model: On the device to train on; keeps the weights that ``settings.keep`` asks for.
        tokenizer: Its tokenizer.
        evaluator: ``sentiment``, ``politeness`` or ``goemotions``.
        reactions: ``text`` and a column named like the evaluator.
        validation_reactions: The same, in phrasings that are not in training.
        settings: Rates, epochs and patience.
        word_dropout: Chance that a token is hidden in a training step.
        seed: Of the data order and dropout.

    Returns:
        The curve of the validation error.
    """
    problem_type = EVALUATORS[evaluator][1]
    targets = targets_of(reactions, evaluator)
    if problem_type == "multi_label_classification":
        start_biases_at_priors(model, targets)
    data = _encode(reactions, targets, tokenizer, model.device)
    held_out = _encode(
        validation_reactions, targets_of(validation_reactions, evaluator), tokenizer, model.device
    )
    torch.manual_seed(seed)

    def loss_of(batch: LabelledBatch) -> Tensor:
        logits = model(input_ids=batch.token_ids, attention_mask=batch.attention_mask).logits
        loss: Tensor = classification_loss(logits, batch.targets, problem_type)
        return loss

    @torch.no_grad()
    def validate() -> float:
        logits = model(input_ids=held_out.token_ids, attention_mask=held_out.attention_mask).logits
        return validation_error(logits, held_out.targets, problem_type)

    steps = settings.n_epochs * -(-len(reactions) // settings.batch_size)

    def batches(epoch: int) -> Iterator[LabelledBatch]:
        order = np.random.default_rng((seed, epoch)).permutation(len(reactions))
        for start in range(0, len(order), settings.batch_size):
            rows = torch.as_tensor(order[start : start + settings.batch_size], device=model.device)
            length = int(data.attention_mask[rows].sum(1).max())
            shown = torch.rand(len(rows), length, device=model.device) >= word_dropout
            shown[:, 0] = True  # <s>, which the classifier reads
            yield LabelledBatch(
                data.token_ids[rows, :length],
                data.attention_mask[rows, :length] * shown,
                data.targets[rows],
            )

    return train(model, batches, steps, loss_of, validate, settings, evaluator)


def _encode(
    reactions: pd.DataFrame,
    targets: Tensor,
    tokenizer: PreTrainedTokenizerFast,
    device: torch.device,
) -> LabelledBatch:
    encoded = tokenizer(reactions["text"].tolist(), padding=True, return_tensors="pt")
    return LabelledBatch(
        encoded["input_ids"].to(device), encoded["attention_mask"].to(device), targets.to(device)
    )


@torch.no_grad()
def predict(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: list[str]
) -> Float[Tensor, "text label"]:
    """Give probabilities: a softmax for one label a text, a sigmoid for several.

    Args:
        model: A classifier whose configuration names its ``problem_type``.
        tokenizer: Its tokenizer.
        texts: At least one.

    Returns:
        A row per text over the model's labels, on the CPU.
    """
    scores = []
    for start in range(0, len(texts), 256):
        chunk = tokenizer(
            texts[start : start + 256],
            padding=True,
            truncation=True,
            max_length=CONTEXT,  # garbled text falls apart into many bytes
            return_tensors="pt",
        )
        logits = model(
            input_ids=chunk["input_ids"].to(model.device),
            attention_mask=chunk["attention_mask"].to(model.device),
        ).logits.float()
        multi = model.config.problem_type == "multi_label_classification"
        scores.append((logits.sigmoid() if multi else logits.softmax(-1)).cpu())
    return torch.cat(scores)
