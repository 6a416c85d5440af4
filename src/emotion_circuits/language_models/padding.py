"""Texts of different lengths in one batch, with unused slots before the shorter ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import signature
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class Padding:
    """The unused slots before each row's first token, in a batch whose rows end at one slot.

    A slot is a place in the batch's tensors. A token's position in its text is its slot minus the
    row's number of unused slots.
    """

    def __init__(self, sizes: Int[Tensor, " row"]) -> None:
        """Create the padding of some rows.

        Args:
            sizes: Number of unused slots of each row, on the model's device.
        """
        self.sizes = sizes
        self._is_none = not bool(sizes.any())

    @classmethod
    def to(cls, end: int, lengths: Sequence[int], device: torch.device) -> Padding:
        """Return the padding with which rows of some lengths end at the slot before ``end``."""
        return cls(torch.tensor([end - length for length in lengths], device=device))

    def ids(self, rows: Sequence[Sequence[int]]) -> Int[Tensor, "row slot"]:
        """Return rows of tokens with padding; the token in an unused slot is 0."""
        padded = [[*[0] * size, *ids] for size, ids in zip(self.sizes.tolist(), rows, strict=True)]
        return torch.tensor(padded, device=self.sizes.device)

    def arguments(self, network: Any, first: int, end: int) -> dict[str, Tensor]:
        """Return arguments of a pass over slots, which hide the padding and give positions.

        Args:
            network: A causal language model of ``transformers``.
            first: First slot that the pass reads; the cache holds those before.
            end: Slot after the last one.

        Returns:
            No argument if no row has padding.
        """
        mask = self.mask(end)
        return {} if mask is None else mask_arguments(network, mask, first=first)

    def mask(self, end: int) -> Bool[Tensor, "row slot"] | None:
        """Return ``False`` for the unused ones of the slots before ``end``; ``None`` for none."""
        if self._is_none:
            return None
        slots: Tensor = torch.arange(end, device=self.sizes.device)
        return slots >= self.sizes[:, None]

    def select(self, rows: Int[Tensor, " kept"]) -> Padding:
        """Return the padding of some rows, which may repeat."""
        return Padding(self.sizes.index_select(0, rows))


def mask_arguments(
    network: Any, mask: Bool[Tensor, "row slot"], *, first: int = 0
) -> dict[str, Tensor]:
    """Return arguments that hide slots from a pass, and count positions from each first token.

    Args:
        network: A causal language model of ``transformers``. One without ``position_ids`` gets the
            mask alone, from which it derives positions if it has any.
        mask: ``False`` for unused slots, which are before or after a row's tokens.
        first: First slot that the pass reads.
    """
    arguments = {"attention_mask": mask.long()}
    if _takes_positions(type(network).forward):
        arguments["position_ids"] = (mask.cumsum(1) - 1)[:, first:].clamp(min=0)
    return arguments


@cache
def _takes_positions(forward: Callable[..., Any]) -> bool:
    return "position_ids" in signature(forward).parameters
