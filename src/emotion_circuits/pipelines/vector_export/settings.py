"""Parameters of the export of vectors."""

from typing import Literal

from pydantic import Field, NonNegativeInt, field_validator

from emotion_circuits.experiments.generation_settings import refuse_repeats
from emotion_circuits.phase_settings import PhaseSettings


class VectorExportSettings(PhaseSettings):
    """Which vectors are exported, and how."""

    emotions: Literal["all"] | list[str] = Field("all", description="emotions to export")
    layers: Literal["chosen", "all"] | list[NonNegativeInt] = Field(
        "chosen",
        description="layers to export; chosen: phase 5's choice, or all if it has made none",
    )
    scale: Literal["raw", "unit"] = Field(
        "raw", description="length of vectors: as measured, or 1 at each layer"
    )
    formats: list[Literal["safetensors", "gguf"]] = Field(
        ["safetensors", "gguf"], min_length=1, description="formats of the files"
    )

    _are_distinct = field_validator("emotions", "layers", "formats")(refuse_repeats)
