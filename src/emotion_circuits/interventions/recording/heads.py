"""Capture of the outputs, values and attention patterns of all heads on many prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jaxtyping import Float
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.recording.batches import length_batches
from emotion_circuits.interventions.recording.record import on_cpu, record, stack_layers
from emotion_circuits.interventions.sites import Site
from emotion_circuits.language_models import LanguageModel

PARTS: Final = ("z", "v", "pattern")


@dataclass(frozen=True)
class HeadActivations:
    """Activations of all heads on prompts of equal length, on the CPU in float32.

    Parts that were not captured are ``None``.

    Attributes:
        rows: Indices of the prompts.
        z: Each head's output before the output projection.
        v: The values that each query head reads from its key/value head.
        pattern: Attention weights of each query position over the key positions.
    """

    rows: tuple[int, ...]
    z: Float[Tensor, "row layer pos head d_head"] | None = None
    v: Float[Tensor, "row layer pos head d_head"] | None = None
    pattern: Float[Tensor, "row layer head query key"] | None = None


def capture_heads(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    parts: Sequence[str] = ("z",),
    batch_size: int = 32,
) -> Iterator[HeadActivations]:
    """Run unpatched prompts and yield the activations of heads, batch by batch.

    Only prompts of equal length share a batch, so nothing is padded.

    Args:
        model: The model; no hooks are left between batches.
        prompts: Token ids, BOS included.
        parts: Any of ``z``, ``v`` and ``pattern``. ``z`` costs a pass of the plain model, ``v``
            and ``pattern`` together one pass of the bridge.
        batch_size: Prompts per forward pass.

    Yields:
        Batches that together hold each prompt once.

    Raises:
        InputError: If a part is unknown.
    """
    for part in parts:
        if part not in PARTS:
            raise InputError(f"part {part!r} of a head is unknown; known: {', '.join(PARTS)}")
    sites = [Site(part, layer) for part in parts for layer in range(model.n_layers)]
    for indices, ids in length_batches(model, prompts, batch_size):
        recorded = record(model, ids, sites, keep=on_cpu).activations
        tensors = {part: stack_layers(recorded, part) for part in parts}
        if "v" in tensors:
            shared_by = model.n_heads // tensors["v"].shape[3]
            tensors["v"] = tensors["v"].repeat_interleave(shared_by, dim=3)
        yield HeadActivations(tuple(indices), **tensors)
