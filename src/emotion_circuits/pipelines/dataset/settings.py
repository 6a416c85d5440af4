"""Parameters of phase 1."""

from typing import Literal

from pydantic import AliasChoices, ConfigDict, Field

from emotion_circuits.phase_settings import PhaseSettings


class DatasetSettings(PhaseSettings):
    """Source, checks and selection of the prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    input: str | None = Field(None, description="file to read; null: the profile's own")
    format: Literal["auto", "jsonl", "csv", "prompt_json", "goemotions"] = "auto"
    label_names: str | None = Field(None, description="file of label names, for format goemotions")
    on_duplicate: Literal["error", "drop"] = Field(
        "error", description="refuse a text that occurs twice, or keep the first"
    )
    max_samples_per_emotion: int | None = Field(
        None,
        ge=2,
        validation_alias=AliasChoices("max_samples_per_emotion", "max_per_emotion"),
        description="largest number of prompts per label; null: all",
    )
    lang: str = Field("en", description="language of texts without one")
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="share of templates held out if the file has no split"
    )
    seed: int = Field(0, description="seed of the split")
