"""Interventions and conditions: frozen values that say what is changed where, when and how much."""

from __future__ import annotations

from dataclasses import dataclass, field

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.operators import Operator
from emotion_circuits.interventions.schedules import (
    Constant,
    Onward,
    Positions,
    Strength,
    Window,
    positions_for_window,
)
from emotion_circuits.interventions.sites import Site
from emotion_circuits.interventions.value_patching import ReplaceV


@dataclass(frozen=True)
class Intervention:
    """One change at one site.

    Attributes:
        site: Where.
        operator: What.
        positions: At which positions; from the prompt's last one on, unless said otherwise.
        strength: How strongly at each step. A position patched for good takes the α of the step
            that read it first; the prompt's positions are read at step 0.
    """

    site: Site
    operator: Operator
    positions: Positions = field(default_factory=Onward)
    strength: Strength = field(default_factory=Constant)

    def __post_init__(self) -> None:
        measured = self.operator.measured_at
        if measured is not None and measured != self.site:
            raise InputError(
                f"direction was measured at {measured} but is to be used at {self.site}; "
                "measure and inject at the same point"
            )
        if isinstance(self.operator, ReplaceV) and (
            self.site.point != "z" or self.positions.moving
        ):
            raise InputError(
                f"ReplaceV at {self.site} with {self.positions}: allowed is point 'z' with "
                "positions of the prompt"
            )


@dataclass(frozen=True)
class Condition:
    """What one row of a sweep is generated under.

    Attributes:
        name: Distinct within a sweep.
        interventions: Applied in this order where they meet at one site; none for the baseline.
    """

    name: str
    interventions: tuple[Intervention, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "interventions", tuple(self.interventions))

    @property
    def windows(self) -> frozenset[Window]:
        """The moving position rules."""
        rules = (intervention.positions for intervention in self.interventions)
        return frozenset(rule for rule in rules if isinstance(rule, Window))


BASELINE = Condition("baseline")


def steer(
    name: str,
    operator: Operator,
    layer: int,
    *,
    alpha: float = 1.0,
    window: int | None = None,
    new_tokens_only: bool = False,
) -> Condition:
    """Make a condition with one intervention on the residual stream after a layer.

    Args:
        name: The condition's name.
        operator: For example ``Add(vector)``.
        layer: Counted from 0.
        alpha: The same at each step.
        window: How many of the last positions; None patches each for good when first read.
        new_tokens_only: Leave the prompt alone, but for its last position at step 0.
    """
    positions = positions_for_window(window, new_tokens_only=new_tokens_only)
    return Condition(
        name, (Intervention(Site("resid_post", layer), operator, positions, Constant(alpha)),)
    )
