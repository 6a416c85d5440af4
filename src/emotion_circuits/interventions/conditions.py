"""Interventions and conditions: operators at sites, with positions and strengths."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.needs import READ_IN_ATTENTION
from emotion_circuits.interventions.operators import Operator
from emotion_circuits.interventions.positions import (
    Onward,
    Positions,
    Prompt,
    Window,
    positions_for_window,
)
from emotion_circuits.interventions.sites import PATCHABLE_POINTS, Site
from emotion_circuits.interventions.strengths import Constant, Strength


@dataclass(frozen=True)
class Intervention:
    """One change at one site.

    Attributes:
        site: The site that is changed.
        operator: The change of the activations at the site.
        positions: The positions to change; by default the prompt's last and all later positions.
        strength: The strength α at each step. A position that stays patched has the α of the step
            that reads it first; the prompt's positions are read at step 0.
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
        without_head = self.site.point == "z" and self.site.head is None
        if without_head or self.site.point not in PATCHABLE_POINTS:
            raise InputError(
                f"{self.site} cannot be changed; allowed are {', '.join(PATCHABLE_POINTS)}, and "
                "'z' needs a head"
            )
        needs = self.operator.needs
        if (needs and not isinstance(self.positions, Prompt)) or (
            needs & READ_IN_ATTENTION and self.site.point != "z"
        ):
            raise InputError(
                f"{type(self.operator).__name__} at {self.site} with {self.positions}: allowed is "
                "point 'z' with positions of the prompt"
            )


@dataclass(frozen=True)
class Condition:
    """The interventions under which a row is generated.

    Attributes:
        name: Name, distinct within a sweep.
        interventions: The interventions, applied in this order at each site; none for the
            baseline.
    """

    name: str
    interventions: tuple[Intervention, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "interventions", tuple(self.interventions))
        reading = [
            item.site for item in self.interventions if item.operator.needs & READ_IN_ATTENTION
        ]
        for site, times in Counter(reading).items():
            # Each would change the head's output as if the other were not there.
            if times > 1:
                raise InputError(
                    f"condition {self.name!r} reads attention {times} times at {site}; allowed is "
                    "one operator with such needs per head"
                )
        if reading and self.windows:
            # Steps after the first compute a part of the prompt again, without its other patterns.
            raise InputError(
                f"condition {self.name!r} reads attention at {reading[0]} beside a moving window; "
                "allowed is either alone"
            )

    @property
    def windows(self) -> frozenset[Window]:
        """The position rules with moving windows."""
        rules = (intervention.positions for intervention in self.interventions)
        return frozenset(rule for rule in rules if isinstance(rule, Window))

    @property
    def reads_attention(self) -> bool:
        """Whether an operator needs attention patterns or values, which only the bridge has."""
        return any(item.operator.needs & READ_IN_ATTENTION for item in self.interventions)


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
        alpha: Strength at every step.
        window: Number of last positions to patch; ``None`` patches the prompt's last and all later
            positions, which stay patched.
        new_tokens_only: Whether a window leaves out the prompt, except its last position at step 0.
    """
    positions = positions_for_window(window, new_tokens_only=new_tokens_only)
    return Condition(
        name, (Intervention(Site("resid_post", layer), operator, positions, Constant(alpha)),)
    )
