"""The table of conditions: each emotion, layer and strength, and the controls'."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.interventions import (
    Add,
    Condition,
    Constant,
    Decay,
    Intervention,
    Listed,
    Operator,
    ProjectOut,
    Site,
    Strength,
    positions_for_window,
)
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings


class Place(NamedTuple):
    """Which cell of the results a condition belongs to.

    Attributes:
        kind: ``emotion``, ``random`` or ``shuffled``.
        emotion: Whose vector it is, or is compared with.
        layer: Counted from 0.
        number: Which of the controls; 0 for emotions.
        alpha: In lengths of the emotion vector.
    """

    kind: str
    emotion: str
    layer: int
    number: int
    alpha: float

    @property
    def name(self) -> str:
        """The condition's name in the sweep."""
        return "/".join(map(str, self))


def build_conditions(
    kind: str,
    emotion: str,
    layer: int,
    directions: Iterable[Float[np.ndarray, " d_model"]],
    *,
    alphas: Iterable[float],
    settings: ResidualPatchingSettings,
) -> dict[Place, Condition]:
    """Make conditions of some directions at one layer, at several strengths.

    Args:
        kind: What the directions are.
        emotion: Whose vector they are, or are compared with.
        layer: Where.
        directions: What is added, or projected out.
        alphas: Strengths.
        settings: Operator, positions and schedule: the same for controls as for emotions.
    """
    site = Site(settings.hook_point, layer)
    positions = positions_for_window(settings.window, new_tokens_only=settings.new_tokens_only)
    found = {}
    for number, direction in enumerate(directions):
        operator: Operator = (
            ProjectOut(direction, measured_at=site)
            if settings.operator == "project_out"
            else Add(direction, measured_at=site)
        )
        for alpha in alphas:
            place = Place(kind, emotion, layer, number, float(alpha))
            intervention = Intervention(site, operator, positions, strength(alpha, settings))
            found[place] = Condition(place.name, (intervention,))
    return found


def strength(alpha: float, settings: ResidualPatchingSettings) -> Strength:
    """Give the strength at each step."""
    if settings.schedule == "decay":
        return Decay(alpha, settings.decay_rate)
    if settings.schedule == "list":
        return Listed(tuple(alpha * factor for factor in settings.strengths))
    return Constant(alpha)
