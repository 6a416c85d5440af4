"""Steering: how directions act on the residual stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float

from emotion_circuits.experiments.outcomes import BASELINE_KIND, UNSTEERED
from emotion_circuits.interventions import (
    BASELINE,
    Add,
    Condition,
    Constant,
    Intervention,
    Onward,
    Operator,
    Positions,
    ProjectOut,
    Site,
    Strength,
)

# The condition without steering, with its coordinates.
UNSTEERED_CONDITION: Final = (BASELINE, {"kind": BASELINE_KIND, **UNSTEERED})


@dataclass(frozen=True)
class Steering:
    """How directions act, for emotions and controls alike.

    Attributes:
        hook_point: ``resid_pre`` or ``resid_post`` of the layer.
        operator: ``add`` adds the direction; ``project_out`` removes the component along it.
        positions: The positions to patch.
        strength: Function from α to the strength at each step.
    """

    hook_point: str = "resid_post"
    operator: Literal["add", "project_out"] = "add"
    positions: Positions = field(default_factory=Onward)
    strength: Callable[[float], Strength] = Constant

    def conditions(
        self,
        kind: str,
        emotion: str,
        layer: int,
        directions: Iterable[Float[np.ndarray, " d_model"]],
        alphas: Iterable[float],
    ) -> Iterator[tuple[Condition, dict[str, Any]]]:
        """Yield a condition for each direction and strength at one layer.

        Args:
            kind: Kind of the directions, such as ``emotion`` or ``random``.
            emotion: The emotion whose vector the directions are, or are compared with.
            layer: Counted from 0.
            directions: The directions to add or to project out.
            alphas: Strengths.

        Yields:
            Each condition with its coordinates ``kind``, ``emotion``, ``layer``, ``draw`` (index
            of the direction) and ``alpha``.
        """
        site = Site(self.hook_point, layer)
        strengths = list(map(float, alphas))
        for draw, direction in enumerate(directions):
            operator: Operator = (
                ProjectOut(direction, measured_at=site)
                if self.operator == "project_out"
                else Add(direction, measured_at=site)
            )
            for alpha in strengths:
                where = {"kind": kind, "emotion": emotion, "layer": layer}
                where |= {"draw": draw, "alpha": alpha}
                intervention = Intervention(site, operator, self.positions, self.strength(alpha))
                yield Condition("/".join(map(str, where.values())), (intervention,)), where
