"""Replacing what one query head reads, without touching the other heads of its group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from emotion_circuits.interventions.operators import (
    Replace,
    Strength,
    Values,
    source_positions,
)
from emotion_circuits.interventions.sites import Site


@dataclass(frozen=True, eq=False)
class ReplaceV:
    """Replace one query head's values by those of another run, and keep its attention pattern.

    The head's output becomes A v′, where A is the pattern the running model computes and v′ has
    the other run's values at the covered positions. The key/value head itself stays as it is, so
    the other query heads of its group are not touched.

    Attributes:
        source: ``[pos, d_head]``: values for each position of the row's prompt.
    """

    source: Any
    measured_at: Site | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", source_positions(self.source))

    def parameters(self) -> tuple[Tensor, ...]:
        """``source``."""
        return (self.source,)

    @staticmethod
    def apply(
        values: Values, strength: Strength, parameters: tuple[Tensor, ...], first: int
    ) -> Values:
        """Change values as ``Replace`` does; what the head makes of it is ``rewrite_output``."""
        return Replace.apply(values, strength, parameters, first)


def rewrite_output(
    z: Float[Tensor, "entry query d_head"],
    pattern: Float[Tensor, "entry query key"],
    before: Float[Tensor, "entry key d_head"],
    after: Float[Tensor, "entry key d_head"],
) -> Float[Tensor, "entry query d_head"]:
    """Give a head's output for changed values: z + A(v′ − v), exactly z where v′ is v."""
    return z + pattern @ (after - before)
