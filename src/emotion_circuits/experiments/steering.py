"""Directions that act on the residual stream: where, how, on which positions and how strongly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from emotion_circuits.interventions import (
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


@dataclass(frozen=True)
class Steering:
    """How directions act; the same for controls as for emotions.

    Attributes:
        hook_point: ``resid_pre`` or ``resid_post`` of the layer.
        operator: ``add`` the direction, or ``project_out`` its line.
        positions: Which positions are patched.
        strength: From α to the strength at each step.
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
        """Give conditions of some directions at one layer, at several strengths.

        Args:
            kind: What the directions are, such as ``emotion`` or ``random``.
            emotion: Whose vector they are, or are compared with.
            layer: Counted from 0.
            directions: What is added, or projected out.
            alphas: Strengths.

        Yields:
            Each condition with its coordinates ``kind``, ``emotion``, ``layer``, ``draw`` (the
            direction's place) and ``alpha``.
        """
        site = Site(self.hook_point, layer)
        several = list(map(float, alphas))
        for draw, direction in enumerate(directions):
            operator: Operator = (
                ProjectOut(direction, measured_at=site)
                if self.operator == "project_out"
                else Add(direction, measured_at=site)
            )
            for alpha in several:
                where = {"kind": kind, "emotion": emotion, "layer": layer}
                where |= {"draw": draw, "alpha": alpha}
                intervention = Intervention(site, operator, self.positions, self.strength(alpha))
                yield Condition("/".join(map(str, where.values())), (intervention,)), where
