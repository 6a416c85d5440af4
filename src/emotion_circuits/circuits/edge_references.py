"""What each node writes along the edges that are outside a circuit of edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits.integrated_gradients import node_sites
from emotion_circuits.circuits.writes import node_writes
from emotion_circuits.experiments.head_conditions import aligned_positions
from emotion_circuits.interventions import length_batches, record
from emotion_circuits.language_models import LanguageModel, first_text_position

Prompts = Sequence[tuple[int, ...]]
Writes = Float[Tensor, "_ source d_model"]  # positions differ


def resampled_writes(
    model: LanguageModel, prompts: Prompts, partners: Prompts, *, batch_size: int = 32
) -> list[Writes]:
    """Return what nodes write on each prompt's partner, aligned at the prompts' ends.

    Positions of the prompt without a counterpart have its own writes, as in ``resampled``.

    Args:
        model: The model.
        prompts: Token ids of each prompt, BOS included.
        partners: Token ids of each prompt's partner.
        batch_size: Prompts per forward pass.

    Returns:
        Writes at each position of each prompt, on the CPU in float32.
    """
    n_special = first_text_position(model, "a")  # any text has the same tokens before it
    references = []
    own, other = (_writes(model, ids, batch_size) for ids in (prompts, partners))
    for ours, theirs in zip(own, other, strict=True):
        n = aligned_positions(len(ours), len(theirs), n_special=n_special)
        whole = ours.clone()
        whole[len(whole) - n :] = theirs[len(theirs) - n :]
        references.append(whole)
    return references


def mean_writes(
    model: LanguageModel, prompts: Prompts, others: Prompts, *, batch_size: int = 32
) -> list[Writes]:
    """Return means of what nodes write over other prompts, at all positions but BOS.

    Embeddings are averaged too: an edge from ``input`` is an edge as any other.

    Args:
        model: The model.
        prompts: Token ids of each prompt, BOS included.
        others: Prompts to average over; each counts the same, whatever its length.
        batch_size: Prompts per forward pass.

    Returns:
        Writes at each position of each prompt, on the CPU in float32.
    """
    n_special = first_text_position(model, "a")  # any text has the same tokens before it
    means = [each[n_special:].mean(0) for each in _writes(model, others, batch_size)]
    mean = torch.stack(means).mean(0)
    references = []
    for ours in _writes(model, prompts, batch_size):
        whole = mean.repeat(len(ours), 1, 1)
        whole[:n_special] = ours[:n_special]
        references.append(whole)
    return references


def _writes(model: LanguageModel, prompts: Prompts, batch_size: int) -> list[Writes]:
    written: list[Tensor] = [torch.empty(0)] * len(prompts)
    for indices, ids in length_batches(model, prompts, batch_size):
        run = record(model, ids, node_sites(model)).activations
        for index, each in zip(indices, node_writes(model, run).cpu(), strict=True):
            written[index] = each
    return written
