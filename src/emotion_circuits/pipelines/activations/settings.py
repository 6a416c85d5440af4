"""Parameters of phase 2."""

from typing import Literal

from pydantic import Field

from emotion_circuits.layer_choice import LayerChoice
from emotion_circuits.phase_settings import PhaseSettings, without_effect


class ActivationSettings(PhaseSettings):
    """Layers, hook points and form of the captured activations."""

    layers: LayerChoice = Field(
        "all", description="all, or a list of layers counted from 0 or by depth"
    )
    hook_points: list[Literal["resid_pre", "resid_post"]] = Field(
        ["resid_pre", "resid_post"],
        min_length=1,
        description="before a layer, after it, or both",
    )
    pooling: Literal["tokens", "mean"] = Field(
        "tokens", description="keep every position, or means over positions (for large models)"
    )
    batch_size: int = without_effect(32, ge=1, description="prompts per forward pass")
    device: str | None = without_effect(
        None, description="device of the model; null: the profile's device for this model"
    )
    storage_dtype: Literal["float32", "float16"] = Field("float32", description="type on disk")
    max_samples_per_emotion: int | None = Field(
        None, ge=1, description="largest number of prompts per label; null: all"
    )
