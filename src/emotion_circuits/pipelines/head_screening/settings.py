"""Parameters of head screening."""

from typing import Literal

from pydantic import Field, NonNegativeInt, field_validator

from emotion_circuits.experiments.generation_settings import refuse_repeats
from emotion_circuits.experiments.head_settings import HeadSettings


class HeadScreeningSettings(HeadSettings):
    """Which heads are tried, on what, and what is read off."""

    layers: Literal["all"] | list[NonNegativeInt] = Field(
        "all", description="layers whose heads are screened"
    )
    ablations: list[Literal["zero", "mean"]] = Field(
        ["zero", "mean"], min_length=1, description="what is put in a head's place"
    )
    metrics: list[str] | None = Field(
        None, description="metric/label to list effects for, beside the targets; null: every one"
    )
    vector_layer: NonNegativeInt | None = Field(
        None, description="whose emotion vectors heads are held against; null: the last there is"
    )
    recall_share: float = Field(
        0.2, gt=0, le=0.5, description="which share of heads counts as top, for recall"
    )

    _are_distinct = field_validator("ablations", "layers")(refuse_repeats)
