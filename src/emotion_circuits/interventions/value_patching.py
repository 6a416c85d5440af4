"""Replacing what one query head reads, without touching the other heads of its group."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from emotion_circuits.interventions.operators import Replace


@dataclass(frozen=True, eq=False)
class ReplaceV(Replace):
    """Replace one query head's values by those of another run, and keep its attention pattern.

    The head's output becomes A v′, where A is the pattern the running model computes and v′ has
    the other run's values at the covered positions. The key/value head itself stays as it is, so
    the other query heads of its group are not touched. ``apply`` changes values as ``Replace``
    changes outputs; what the head makes of them is ``rewrite_output``.

    Attributes:
        source: ``[pos, d_head]``: values for each position of the row's prompt.
    """


def rewrite_output(
    z: Float[Tensor, "entry query d_head"],
    pattern: Float[Tensor, "entry query key"],
    before: Float[Tensor, "entry key d_head"],
    after: Float[Tensor, "entry key d_head"],
) -> Float[Tensor, "entry query d_head"]:
    """Give a head's output for changed values: z + A(v′ − v), exactly z where v′ is v."""
    return z + pattern @ (after - before)
