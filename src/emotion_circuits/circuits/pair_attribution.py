"""Attribution on many pairs of prompts of any lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from emotion_circuits.circuits.attribution import Target
from emotion_circuits.circuits.edge_scores import EdgeScores, edge_scores
from emotion_circuits.circuits.integrated_gradients import NodeScores
from emotion_circuits.circuits.paths import Variant
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import LanguageModel

Prompts = Sequence[tuple[int, ...]]


def attribute_pairs(
    model: LanguageModel,
    clean: Prompts,
    corrupted: Prompts,
    target_of: Callable[[list[int]], Target],
    *,
    layer: int,
    steps: int = 10,
    batch_size: int = 16,
    variant: Variant = "inputs",
) -> EdgeScores:
    """Score all edges and nodes on each pair; pairs of the same lengths share passes.

    Args:
        model: The model.
        clean: Token ids of each clean prompt, BOS included.
        corrupted: Token ids of each prompt's partner.
        target_of: Makes the target of some pairs, given their indices.
        layer: Layer after which the target reads the stream.
        steps: Number of steps between the prompts.
        batch_size: Pairs in a pass. Affects speed and memory only.
        variant: As for ``node_scores``.

    Returns:
        Scores in the order of the pairs.

    Raises:
        InputError: If there are no pairs, or one cannot be aligned.
    """
    parts: dict[int, tuple[Tensor, ...]] = {}
    for chosen, one, other in batches_of_pairs(model, clean, corrupted, batch_size):
        found = edge_scores(
            model, one, other, target_of(chosen), layer=layer, steps=steps, variant=variant
        )
        for place, index in enumerate(chosen):
            parts[index] = (found.edges[place], *(part[place] for part in found.nodes))
    edges, *nodes = (
        torch.stack([parts[index][part] for index in range(len(clean))]) for part in range(5)
    )
    return EdgeScores(edges, NodeScores(*nodes))


def batches_of_pairs(
    model: LanguageModel, clean: Prompts, corrupted: Prompts, batch_size: int
) -> Iterator[tuple[list[int], Int[Tensor, "pair pos"], Int[Tensor, "pair other_pos"]]]:
    """Yield indices and tokens of pairs whose lengths are the same.

    Raises:
        InputError: If there are no pairs, or not as many partners as prompts.
    """
    if len(clean) != len(corrupted) or not clean:
        raise InputError(
            f"{len(clean)} clean prompts and {len(corrupted)} partners; allowed are equal numbers, "
            "at least one"
        )
    groups: dict[tuple[int, int], list[int]] = {}
    for index, pair in enumerate(zip(clean, corrupted, strict=True)):
        groups.setdefault((len(pair[0]), len(pair[1])), []).append(index)
    for indices in groups.values():
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            one, other = (
                torch.tensor([prompts[index] for index in chosen], device=model.device)
                for prompts in (clean, corrupted)
            )
            yield chosen, one, other
