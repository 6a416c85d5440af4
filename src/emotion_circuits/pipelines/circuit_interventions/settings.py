"""Parameters of joint interventions on circuits, and of their modulation."""

from typing import Literal

from pydantic import Field, FiniteFloat, field_validator

from emotion_circuits.experiments.generation_settings import refuse_repeats
from emotion_circuits.experiments.head_settings import HeadSettings


class CircuitInterventionSettings(HeadSettings):
    """The circuits, what is done to them, and the controls."""

    max_samples_per_emotion: int | None = Field(
        24, ge=2, description="largest number of pairs of prompts; null: all"
    )
    circuit: Literal["nodes", "consensus"] = Field(
        "nodes", description="circuit of texts whose templates served to find none: that of all "
        "pairs, or the consensus of resamples",
    )  # fmt: skip
    ablations: list[Literal["mean", "resample"]] = Field(
        ["mean", "resample"], description="ablations of circuits; may be empty"
    )
    patch: bool = Field(
        True, description="patch outputs on the emotional prompt into the neutral one"
    )
    single_nodes: bool = Field(
        True, description="also change each node of the circuit alone, for the interaction"
    )
    num_random: int = Field(
        20, ge=0, description="random circuits of as many heads and MLPs, ablated and patched"
    )
    modulations: list[Literal["shift", "scale"]] = Field(
        ["shift", "scale"], description="modulations of circuits on neutral prompts; may be empty"
    )
    betas: list[FiniteFloat] = Field(
        [0.25, 0.5, 1.0, 2.0, 4.0], min_length=1, description="strengths of modulation"
    )
    num_controls: int = Field(
        10, ge=0, description="controls of each kind: random circuits, and random directions"
    )
    max_prompts: int | None = Field(
        40, ge=2, description="largest number of phase 5's prompts to modulate on; null: all"
    )
    costs: list[FiniteFloat] = Field(
        [0.25, 0.5, 1.0],
        min_length=1,
        description="costs, in nats per token, at which modulation is compared with steering",
    )

    _are_distinct = field_validator("ablations", "modulations", "betas", "costs")(refuse_repeats)

    @field_validator("costs")
    @classmethod
    def _are_costs(cls, costs: list[float]) -> list[float]:
        if min(costs) < 0:
            raise ValueError("costs are 0 or more; the unmodulated model costs nothing")
        return costs

    @field_validator("betas")
    @classmethod
    def _are_doses(cls, betas: list[float]) -> list[float]:
        if 0 in betas:
            raise ValueError("0 is the unmodulated model, which is always compared")
        return betas
