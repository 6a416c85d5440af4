"""Training a language model on situations and the reactions they call for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from emotion_circuits.errors import InputError
from emotion_circuits.training.schedule import Progress, TrainingSettings, train


@dataclass(frozen=True)
class Batch:
    """Texts of one length, so that nothing is padded.

    Attributes:
        token_ids: ``[batch, pos]``, with ``<s>`` first and ``</s>`` last.
        weights: ``[batch, pos]``, how much predicting each token counts.
    """

    token_ids: Int[Tensor, "batch pos"]
    weights: Float[Tensor, "batch pos"]


def encode_texts(
    texts: pd.DataFrame, tokenizer: PreTrainedTokenizerFast, situation_weight: float
) -> list[tuple[list[int], list[float]]]:
    """Encode texts as token ids with a weight for each.

    Args:
        texts: Columns ``situation`` and ``reaction``.
        tokenizer: With ``<s>`` and ``</s>``.
        situation_weight: Weight of situation tokens; the line break after the situation, the
            reaction and the end weigh 1.

    Returns:
        For each text its ids, from ``<s>`` to ``</s>``, and as many weights.
    """
    encode = tokenizer.backend_tokenizer.encode_batch
    situations = encode(texts["situation"].tolist(), add_special_tokens=False)
    reactions = encode(("\n" + texts["reaction"]).tolist(), add_special_tokens=False)
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    return [
        (
            [bos, *situation.ids, *reaction.ids, eos],
            [situation_weight] * (1 + len(situation.ids)) + [1.0] * (len(reaction.ids) + 1),
        )
        for situation, reaction in zip(situations, reactions, strict=True)
    ]


class LengthBatches:
    """Batches of texts of equal length, in an order that depends on seed and epoch alone."""

    def __init__(
        self, encoded: list[tuple[list[int], list[float]]], batch_size: int, seed: int
    ) -> None:
        self._batch_size = batch_size
        self._seed = seed
        by_length: dict[int, list[int]] = {}
        for index, (ids, _) in enumerate(encoded):
            by_length.setdefault(len(ids), []).append(index)
        self._groups = [
            (
                torch.tensor([encoded[index][0] for index in group]),
                torch.tensor([encoded[index][1] for index in group]),
            )
            for _, group in sorted(by_length.items())
        ]

    def __len__(self) -> int:
        return sum(-(-len(ids) // self._batch_size) for ids, _ in self._groups)

    def to(self, device: torch.device | str) -> LengthBatches:
        """Move all texts to a device; they are small."""
        moved = object.__new__(LengthBatches)
        moved._batch_size, moved._seed = self._batch_size, self._seed
        moved._groups = [(ids.to(device), weights.to(device)) for ids, weights in self._groups]
        return moved

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Give the batches of one epoch."""
        rng = np.random.default_rng((self._seed, epoch))
        plan: list[tuple[int, np.ndarray]] = []
        for group, (ids, _) in enumerate(self._groups):
            order = rng.permutation(len(ids))
            plan += [
                (group, order[start : start + self._batch_size])
                for start in range(0, len(order), self._batch_size)
            ]
        for index in rng.permutation(len(plan)):
            group, rows = plan[index]
            ids, weights = self._groups[group]
            chosen = torch.as_tensor(rows, device=ids.device)
            yield Batch(ids[chosen], weights[chosen])


def weighted_loss(
    logits: Float[Tensor, "batch pos vocab"], batch: Batch
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Weighted negative log-likelihood of each next token.

    Args:
        logits: Predictions at each position.
        batch: What came, and how much it counts.

    Returns:
        The weighted sum in nats, and the sum of the weights.
    """
    losses = functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch.token_ids[:, 1:].flatten(), reduction="none"
    )
    weights = batch.weights[:, 1:].flatten()
    return (losses * weights).sum(), weights.sum()


def train_language_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: pd.DataFrame,
    validation_texts: pd.DataFrame,
    *,
    settings: TrainingSettings,
    situation_weight: float,
    seed: int,
    name: str,
) -> Progress:
    """Train a language model in place.

    Args:
        model: On the device to train on; keeps the weights of the lowest validation loss.
        tokenizer: Its tokenizer.
        texts: Training texts, with ``situation`` and ``reaction``.
        validation_texts: Texts of combinations that are not among the training texts.
        settings: Rates, epochs and patience.
        situation_weight: Weight of situation tokens in the loss.
        seed: Of the data order.
        name: Shown beside the progress bar.

    Returns:
        The curve of the mean loss per weighted token, in nats, on the validation texts.

    Raises:
        InputError: If a text does not fit into the model's context.
    """
    encoded = encode_texts(texts, tokenizer, situation_weight)
    held_out = encode_texts(validation_texts, tokenizer, situation_weight)
    _check_lengths(encoded + held_out, model.config.max_position_embeddings)
    batches = LengthBatches(encoded, settings.batch_size, seed).to(model.device)
    validation = LengthBatches(held_out, 256, seed).to(model.device)

    def loss_of(batch: Batch) -> Tensor:
        loss, weight = weighted_loss(model(input_ids=batch.token_ids).logits, batch)
        mean: Tensor = loss / weight
        return mean

    return train(
        model,
        batches,
        settings.n_epochs * len(batches),
        loss_of,
        lambda: mean_loss(model, validation(0)),
        settings,
        name,
    )


def _check_lengths(encoded: list[tuple[list[int], list[float]]], context: int) -> None:
    longest = max(len(ids) for ids, _ in encoded)
    if longest > context:
        raise InputError(
            f"a text has {longest} tokens and the model reads at most {context}; enlarge "
            "vocab_size, so that fewer words fall apart"
        )


@torch.no_grad()
def mean_loss(model: PreTrainedModel, batches: Iterator[Batch]) -> float:
    """Mean loss per weighted token over batches, in nats."""
    sums = [weighted_loss(model(input_ids=batch.token_ids).logits, batch) for batch in batches]
    losses, weights = zip(*sums, strict=True)
    return (torch.stack(losses).sum() / torch.stack(weights).sum()).item()
