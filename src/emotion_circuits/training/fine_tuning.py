"""Fine-tuning of a pretrained encoder as a text classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.language_models.pretrained import from_pretrained, load_tokenizer
from emotion_circuits.language_models.sources import resolve_source
from emotion_circuits.seeds import seed_for
from emotion_circuits.training.classifier_training import classification_loss, validation_error
from emotion_circuits.training.schedule import TrainingSettings, train
from emotion_circuits.training.trained import Trained

# Batches are cut from so many batches' worth of shuffled texts, sorted by length: little padding.
_BUCKET = 40


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels.

    Attributes:
        texts: The texts.
        targets: ``[text, label]``, 1.0 where a label applies.
    """

    texts: Sequence[str]
    targets: Float[Tensor, "text label"]


def fine_tune(
    name: str,
    source: str,
    training: LabelledTexts,
    validation: LabelledTexts,
    *,
    labels: Sequence[str],
    problem_type: str,
    settings: TrainingSettings,
    word_dropout: float,
    max_tokens: int,
    revision: str | None,
    seed: int,
    device: torch.device,
) -> Trained:
    """Fine-tune all weights of an encoder, with a new head.

    Args:
        name: The classifier's name.
        source: The encoder: a hub id, a folder, a file, or ``package:<name>/<path>``.
        training: Texts to learn from.
        validation: Texts that choose the step whose weights are kept.
        labels: Names of the labels, in the order of the targets' columns.
        problem_type: ``single_label_classification`` (softmax) or ``multi_label_classification``
            (sigmoid per label).
        settings: Length and speed of the training.
        word_dropout: Probability that a token is hidden in a training step.
        max_tokens: Longer texts are cut.
        revision: Branch, tag or commit of the hub repository.
        seed: Seed of the head, the data order and dropout.
        device: Where to train.

    Returns:
        The classifier on the CPU, its tokenizer, and the record of the training.

    Raises:
        InputError: If the encoder is missing or cannot be loaded.
    """
    what = f"encoder of evaluator {name!r}"
    folder = resolve_source(what, source)
    tokenizer = load_tokenizer(what, source=folder, revision=revision)
    tokenizer.model_max_length = max_tokens
    torch.manual_seed(seed_for(seed, name, "head") % 2**63)
    model = _with_head(what, folder, revision, labels, problem_type).to(device)
    encode = lambda texts: tokenizer(list(texts), truncation=True)["input_ids"]  # noqa: E731
    data = _Encoded(encode(training.texts), training.targets, tokenizer.pad_token_id, device)
    held_out = _Encoded(encode(validation.texts), validation.targets, data.padding, device)

    def loss_of(batch: _Batch) -> Tensor:
        logits = model(input_ids=batch.token_ids, attention_mask=batch.attention_mask).logits
        loss: Tensor = classification_loss(logits, batch.targets, problem_type)
        return loss

    @torch.no_grad()
    def validate() -> float:
        batches = [held_out.batch(rows) for rows in held_out.by_length(128)]
        logits = [model(input_ids=b.token_ids, attention_mask=b.attention_mask) for b in batches]
        targets = torch.cat([batch.targets for batch in batches])
        return validation_error(
            torch.cat([output.logits for output in logits]), targets, problem_type
        )

    def batches(epoch: int) -> Iterator[_Batch]:
        rng = np.random.default_rng(seed_for(seed, name, "order", epoch))
        for rows in data.shuffled(settings.batch_size, rng):
            yield data.batch(rows, hide=word_dropout)

    n_steps = settings.n_epochs * len(data.shuffled(settings.batch_size, np.random.default_rng(0)))
    torch.manual_seed(seed_for(seed, name, "dropout") % 2**63)
    started = perf_counter()
    progress = train(model, batches, n_steps, loss_of, validate, settings, name)
    record = {
        "name": name,
        "source": source,
        "revision": revision,
        "settings": settings.model_dump(),
        "word_dropout": word_dropout,
        "max_tokens": max_tokens,
        "seed": seed,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "seconds": round(perf_counter() - started, 1),
        "validated_by": "error",
        "curve": progress.curve(),
    }
    return Trained(model.eval().cpu(), tokenizer, record)


def _with_head(
    what: str, folder: str, revision: str | None, labels: Sequence[str], problem_type: str
) -> transformers.PreTrainedModel:
    config = from_pretrained(
        transformers.AutoConfig,
        what,
        source=folder,
        revision=revision,
        num_labels=len(labels),
        problem_type=problem_type,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    # A missing head is what is wanted here, so that load_weights would be too strict.
    model: transformers.PreTrainedModel = from_pretrained(
        transformers.AutoModelForSequenceClassification,
        what,
        source=folder,
        revision=revision,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
    )
    return model


@dataclass(frozen=True)
class _Batch:
    token_ids: Int[Tensor, "text pos"]
    attention_mask: Int[Tensor, "text pos"]
    targets: Float[Tensor, "text label"]


@dataclass(frozen=True)
class _Encoded:
    """Texts as token ids, and the batches that are cut from them."""

    token_ids: list[list[int]]
    targets: Float[Tensor, "text label"]
    padding: int
    device: torch.device

    def by_length(self, size: int) -> list[np.ndarray]:
        lengths = np.array([len(ids) for ids in self.token_ids])
        order = np.argsort(-lengths, kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]

    def shuffled(self, size: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Cut batches of texts of similar length, in random order."""
        order, lengths = (
            rng.permutation(len(self.token_ids)),
            np.array([len(ids) for ids in self.token_ids]),
        )
        batches = []
        for start in range(0, len(order), size * _BUCKET):
            bucket = order[start : start + size * _BUCKET]
            bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
            batches += [bucket[first : first + size] for first in range(0, len(bucket), size)]
        return [batches[index] for index in rng.permutation(len(batches))]

    def batch(self, rows: np.ndarray, hide: float = 0.0) -> _Batch:
        longest = max(len(self.token_ids[row]) for row in rows)
        ids = torch.full((len(rows), longest), self.padding)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(self.token_ids[row])] = torch.tensor(self.token_ids[row])
            mask[place, : len(self.token_ids[row])] = 1
        if hide:
            shown = torch.rand(mask.shape) >= hide
            shown[:, 0] = True  # the token whose output the head reads
            mask = mask * shown
        targets = self.targets[torch.as_tensor(rows)]
        return _Batch(ids.to(self.device), mask.to(self.device), targets.to(self.device))
