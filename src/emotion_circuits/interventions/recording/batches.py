"""Batches of prompts with equal numbers of tokens, without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from emotion_circuits.language_models import LanguageModel


def by_length(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Group the indices of prompts by their number of tokens, the longest first.

    The longest prompts need the most memory, so a lack of memory shows at once.
    """
    groups: dict[int, list[int]] = {}
    for index, ids in enumerate(prompts):
        groups.setdefault(len(ids), []).append(index)
    return [indices for _, indices in sorted(groups.items(), reverse=True)]


def chunks(items: list[int], size: int) -> Iterator[list[int]]:
    """Yield parts of a list of some size; the last part may be smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def length_batches(
    model: LanguageModel, prompts: Sequence[Sequence[int]], batch_size: int
) -> Iterator[tuple[list[int], Int[Tensor, "row pos"]]]:
    """Yield batches of prompts of equal length.

    Args:
        model: The model whose device holds the tokens.
        prompts: Token ids, BOS included.
        batch_size: Largest number of prompts in a batch.

    Yields:
        The indices of a batch's prompts, and their tokens.
    """
    for indices in by_length(prompts):
        for part in chunks(indices, batch_size):
            yield part, torch.tensor([list(prompts[i]) for i in part], device=model.device)
