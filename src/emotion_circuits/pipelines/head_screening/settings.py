"""Parameters of head screening."""

from typing import Literal

from pydantic import Field, NonNegativeInt, field_validator

from emotion_circuits.experiments.generation_settings import refuse_repeats
from emotion_circuits.experiments.head_settings import HeadSettings
from emotion_circuits.layer_choice import LayerChoice


class HeadScreeningSettings(HeadSettings):
    """The heads to screen, the ablations, and the scores to report."""

    layers: LayerChoice = Field("all", description="layers whose heads are screened")
    ablations: list[Literal["zero", "mean"]] = Field(
        ["zero", "mean"], min_length=1, description="replacements of a head's output"
    )
    metrics: list[str] | None = Field(
        None, description="metric/label to list effects on, with the targets; null: all"
    )
    vector_layer: NonNegativeInt | None = Field(
        None, description="layer of the emotion vectors to score heads by; null: the last one"
    )
    recall_share: float = Field(
        0.2, gt=0, le=0.5, description="share of heads that count as top, for recall"
    )

    _are_distinct = field_validator("ablations", "layers")(refuse_repeats)
