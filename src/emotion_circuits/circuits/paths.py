"""The way from a corrupted prompt to a clean one, along which gradients are integrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.head_conditions import aligned_positions
from emotion_circuits.interventions import Site, record
from emotion_circuits.language_models import LanguageModel, first_text_position

ENTRY = Site("resid_pre", 0)
Variant = Literal["inputs", "activations"]


@dataclass(frozen=True)
class Path:
    """Runs of clean prompts and of their corrupted partners, aligned at the prompts' ends.

    The last ``n_aligned`` positions of a pair correspond. Each prompt runs as it is, at its own
    positions. Earlier positions of the clean prompt have no counterpart, so they keep their own
    values; earlier positions of the partner act only through what it writes at aligned positions.
    A node's difference is thus what the engine's patch of this node replaces.

    Attributes:
        clean: Activations of the clean prompts by site, ``[pair, pos, ...]``.
        corrupted: Activations of the partners by site, ``[pair, other_pos, ...]``.
        n_aligned: Number of last positions that correspond.
    """

    clean: dict[Site, Tensor]
    corrupted: dict[Site, Tensor]
    n_aligned: int

    @classmethod
    def between(
        cls,
        model: LanguageModel,
        clean: Int[Tensor, "pair pos"],
        corrupted: Int[Tensor, "other_pair other_pos"],
        sites: list[Site],
    ) -> Path:
        """Run both prompts of each pair.

        Args:
            model: The model.
            clean: Prompts of equal length, on the model's device.
            corrupted: The partner of each prompt, of equal lengths too.
            sites: Sites to record beside the embeddings.

        Raises:
            InputError: If there are no pairs, or a prompt has no position to align.
        """
        n_special = first_text_position(model, "a")  # any text has the same tokens before it
        n_aligned = aligned_positions(clean.shape[1], corrupted.shape[1], n_special=n_special)
        if len(clean) != len(corrupted) or not len(clean) or n_aligned < 1:
            raise InputError(
                f"clean prompts are {tuple(clean.shape)} and corrupted ones "
                f"{tuple(corrupted.shape)} (pairs, tokens); allowed are as many of one as of the "
                "other, with tokens beside BOS"
            )
        wanted = list(dict.fromkeys([ENTRY, *sites]))
        ours, theirs = (record(model, ids, wanted).activations for ids in (clean, corrupted))
        return cls(ours, theirs, n_aligned)

    def difference(self, site: Site) -> Float[Tensor, "pair aligned ..."]:
        """Return the clean activations at a site minus the corrupted ones, where aligned."""
        n = self.n_aligned
        difference: Tensor = self.clean[site][:, -n:] - self.corrupted[site][:, -n:]
        return difference

    def at(self, site: Site, share: float) -> Float[Tensor, "pair pos ..."]:
        """Return activations at a share of the way: 0 for the corrupted prompt, 1 for the clean."""
        n, moved = self.n_aligned, self.clean[site].clone()
        moved[:, -n:] = self.corrupted[site][:, -n:].lerp(moved[:, -n:], share)
        return moved


def moved_sites(sites: Sequence[Site], variant: Variant) -> list[tuple[Site, list[Site]]]:
    """Return the sites that move between the prompts, each with the sites that are scored then.

    Args:
        sites: The sites to score, embeddings among them or not.
        variant: ``inputs`` moves the embeddings, and all sites follow; ``activations`` moves each
            site alone while what does not depend on it stays as on the clean prompt.
    """
    if variant == "inputs":
        return [(ENTRY, list(sites))]
    return [(site, [site]) for site in sites]


def trapezoid(steps: int) -> list[tuple[float, float]]:
    """Return the shares of the way at which gradients are taken, with their weights.

    The error of the trapezoidal rule falls with the square of the number of steps; that of the sum
    over k = 1 to ``steps``, which Hanna et al. have, falls with the number only. One step is
    the gradient at the clean prompt alone.

    Raises:
        InputError: If there is no step.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}; allowed are whole numbers from 1")
    if steps == 1:
        return [(1.0, 1.0)]
    inner = [(step / steps, 1 / steps) for step in range(1, steps)]
    return [(0.0, 0.5 / steps), *inner, (1.0, 0.5 / steps)]
