"""Training of the evaluators, which classify reactions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import transformers
from jaxtyping import Float, Int
from sklearn.metrics import recall_score, roc_auc_score
from torch import Tensor
from torch.nn import functional

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
    """Return 1.0 for each label of an evaluator that applies to a reaction, else 0.0."""
    labels, _ = EVALUATORS[evaluator]
    named = reactions[evaluator]
    applying = [set(value) if isinstance(value, tuple) else {value} for value in named]
    return torch.tensor([[float(label in names) for label in labels] for names in applying])


def start_biases_at_priors(
    model: transformers.PreTrainedModel, targets: Float[Tensor, "text label"]
) -> None:
    """Set a multi-label classifier's output biases so that it predicts each label's frequency.

    A small model that starts at 0.5 for each of 28 labels learns little more than that most labels
    are rare, and stays constant. The frequency of an unused label is taken as half a text.
    """
    shares = targets.mean(0).clamp(0.5 / len(targets), 1 - 0.5 / len(targets))
    with torch.no_grad():
        model.classifier.out_proj.bias.copy_(torch.logit(shares))


def classification_loss(
    logits: Float[Tensor, "batch label"], targets: Float[Tensor, "batch label"], problem_type: str
) -> Float[Tensor, ""]:
    """Cross-entropy for one label per text; mean binary cross-entropy for several."""
    if problem_type == "multi_label_classification":
        return functional.binary_cross_entropy_with_logits(logits, targets)
    return functional.cross_entropy(logits, targets)


def validation_error(
    logits: Float[Tensor, "text label"], targets: Float[Tensor, "text label"], problem_type: str
) -> float:
    """Return a classifier's error in ranking or naming labels, regardless of its confidence.

    On unseen phrasings a few confident mistakes soon dominate the loss, while the classifier still
    improves on all other texts.

    Args:
        logits: The classifier's outputs.
        targets: 1.0 for each label that applies.
        problem_type: The classifier's problem type.

    Returns:
        For several labels per text, 1 - macro AUROC over the labels that some texts have and some
        lack; for one label per text, 1 - mean recall over labels.
    """
    truth, said = targets.cpu().numpy(), logits.float().cpu().numpy()
    if problem_type == "multi_label_classification":
        mixed = truth.any(axis=0) & ~truth.all(axis=0)
        return 1.0 - float(roc_auc_score(truth[:, mixed], said[:, mixed], average="macro"))
    recall = recall_score(truth.argmax(1), said.argmax(1), average="macro", zero_division=0.0)
    return 1.0 - float(recall)


def train_evaluator(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    evaluator: str,
    reactions: pd.DataFrame,
    validation_reactions: pd.DataFrame,
    *,
    settings: TrainingSettings,
    word_dropout: float,
    seed: int,
) -> Progress:
    """Train an evaluator in place.

    Tokens are masked at random. Otherwise the classifier would memorize its few phrasings, which
    recur often, and fail on other phrasings with the same words.

    Args:
        model: The classifier, on the device to train on. It ends with the weights that
            ``settings.keep`` selects.
        tokenizer: The classifier's tokenizer.
        evaluator: ``sentiment``, ``politeness`` or ``goemotions``.
        reactions: ``text`` and a column named like the evaluator.
        validation_reactions: The same columns, with phrasings that are not in training.
        settings: Learning rate, epochs and patience.
        word_dropout: Probability that a token is masked in a training step.
        seed: Seed of the data order and of dropout.

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
            drawn = torch.as_tensor(order[start : start + settings.batch_size], device=model.device)
            length = int(data.attention_mask[drawn].sum(1).max())
            shown = torch.rand(len(drawn), length, device=model.device) >= word_dropout
            shown[:, 0] = True  # <s>, whose output the classifier uses
            yield LabelledBatch(
                data.token_ids[drawn, :length],
                data.attention_mask[drawn, :length] * shown,
                data.targets[drawn],
            )

    return train(model, batches, steps, loss_of, validate, settings, evaluator)


def _encode(
    reactions: pd.DataFrame,
    targets: Tensor,
    tokenizer: transformers.PreTrainedTokenizerFast,
    device: torch.device,
) -> LabelledBatch:
    encoded = tokenizer(reactions["text"].tolist(), padding=True, return_tensors="pt")
    return LabelledBatch(
        encoded["input_ids"].to(device), encoded["attention_mask"].to(device), targets.to(device)
    )


@torch.no_grad()
def predict(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    texts: list[str],
) -> Float[Tensor, "text label"]:
    """Return label probabilities: softmax for one label per text, sigmoid for several.

    Args:
        model: A classifier whose configuration has a ``problem_type``.
        tokenizer: The classifier's tokenizer.
        texts: At least one text.

    Returns:
        Probabilities of the model's labels for each text, on the CPU.
    """
    scores = []
    for start in range(0, len(texts), 256):
        chunk = tokenizer(
            texts[start : start + 256],
            padding=True,
            truncation=True,
            max_length=CONTEXT,  # unknown words are split into many byte tokens
            return_tensors="pt",
        )
        logits = model(
            input_ids=chunk["input_ids"].to(model.device),
            attention_mask=chunk["attention_mask"].to(model.device),
        ).logits.float()
        multi = model.config.problem_type == "multi_label_classification"
        scores.append((logits.sigmoid() if multi else logits.softmax(-1)).cpu())
    return torch.cat(scores)
