"""Parameters that both phases on heads have in common."""

from typing import Literal

from pydantic import Field

from emotion_circuits.experiments.generation_settings import GenerationSettings


class HeadSettings(GenerationSettings):
    """Which pairs of prompts heads are changed on."""

    split: Literal["test", "train", "all"] = Field(
        "test", description="which prompts; vectors are measured on those of train"
    )
    max_samples_per_emotion: int | None = Field(
        None, ge=2, description="at most so many pairs of prompts; null: all"
    )
