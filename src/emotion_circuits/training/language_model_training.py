"""Training of a language model on situations followed by reactions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from emotion_circuits.errors import InputError
from emotion_circuits.training.schedule import Progress, TrainingSettings, train


@dataclass(frozen=True)
class Batch:
    """Texts of equal length, without padding.

    Attributes:
        token_ids: ``[batch, pos]``, with ``<s>`` first and ``</s>`` last.
        weights: ``[batch, pos]``, weight of each token's loss.
    """

    token_ids: Int[Tensor, "batch pos"]
    weights: Float[Tensor, "batch pos"]


def encode_texts(
    texts: pd.DataFrame, tokenizer: transformers.PreTrainedTokenizerFast, situation_weight: float
) -> list[tuple[list[int], list[float]]]:
    """Encode texts as token ids with one loss weight per token.

    Args:
        texts: Table with the columns ``situation`` and ``reaction``.
        tokenizer: A tokenizer with ``<s>`` and ``</s>``.
        situation_weight: Weight of situation tokens. The line break after the situation, the
            reaction and ``</s>`` have weight 1.

    Returns:
        For each text its ids, from ``<s>`` to ``</s>``, and their weights.
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
    """Batches of texts of equal length, in an order determined by seed and epoch."""

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
        """Return a copy with all texts on a device."""
        moved = object.__new__(LengthBatches)
        moved._batch_size, moved._seed = self._batch_size, self._seed
        moved._groups = [(ids.to(device), weights.to(device)) for ids, weights in self._groups]
        return moved

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        rng = np.random.default_rng((self._seed, epoch))
        plan: list[tuple[int, np.ndarray]] = []
        for group, (ids, _) in enumerate(self._groups):
            order = rng.permutation(len(ids))
            plan += [
                (group, order[start : start + self._batch_size])
                for start in range(0, len(order), self._batch_size)
            ]
        for index in rng.permutation(len(plan)):
            group, indices = plan[index]
            ids, weights = self._groups[group]
            chosen = torch.as_tensor(indices, device=ids.device)
            yield Batch(ids[chosen], weights[chosen])


def weighted_loss(
    logits: Float[Tensor, "batch pos vocab"], batch: Batch
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Weighted negative log-likelihood of each next token.

    Args:
        logits: Predictions at each position.
        batch: Token ids and their weights.

    Returns:
        The weighted sum in nats, and the sum of the weights.
    """
    losses = functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch.token_ids[:, 1:].flatten(), reduction="none"
    )
    weights = batch.weights[:, 1:].flatten()
    return (losses * weights).sum(), weights.sum()


def train_language_model(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
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
        model: The language model, on the device to train on. It ends with the weights that
            ``settings.keep`` selects.
        tokenizer: The model's tokenizer.
        texts: Training texts, with ``situation`` and ``reaction``.
        validation_texts: Texts of combinations that the training texts lack.
        settings: Learning rate, epochs and patience.
        situation_weight: Weight of situation tokens in the loss.
        seed: Seed of the data order.
        name: Label of the progress bar.

    Returns:
        The curve of the validation loss: weighted mean negative log-likelihood per token, in nats.

    Raises:
        InputError: If a text is longer than the model's context.
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
def mean_loss(model: transformers.PreTrainedModel, batches: Iterator[Batch]) -> float:
    """Return the weighted mean loss per token over batches, in nats."""
    sums = [weighted_loss(model(input_ids=batch.token_ids).logits, batch) for batch in batches]
    losses, weights = zip(*sums, strict=True)
    return (torch.stack(losses).sum() / torch.stack(weights).sum()).item()
