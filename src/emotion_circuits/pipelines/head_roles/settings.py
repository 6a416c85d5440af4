"""Parameters of what heads read and write, and of their roles."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt

from emotion_circuits.circuits.roles import RoleRules
from emotion_circuits.layer_choice import Depth
from emotion_circuits.phase_settings import PhaseSettings, without_effect


class HeadRolesSettings(PhaseSettings):
    """Prompts, probes and tokens by which the heads of a model are described."""

    split: Literal["test", "train", "all"] = Field(
        "test", description="split of the prompts; vectors are measured on train"
    )
    max_samples_per_emotion: int | None = Field(
        24, ge=2, description="largest number of pairs of prompts; null: all"
    )
    text_layer: NonNegativeInt | Depth = Field(
        0.5, description="layer whose probe of the text the heads of role detect raise"
    )
    last_layer: NonNegativeInt | Depth = Field(
        0.75, description="layer at which the last position holds the emotion"
    )
    rules: RoleRules = Field(RoleRules.model_validate({}), description="thresholds of the roles")
    n_splits: int = Field(5, ge=1, description="splits of the pairs for the roles' stability")
    n_random: int = Field(20, ge=1, description="random sets of heads beside each role")
    margin: float = Field(0.1, gt=0, description="share of a probe that counts as no effect")
    max_tokens: int = Field(
        2000, ge=2, description="most frequent tokens of the prompts that heads are read with"
    )
    n_top: int = Field(6, ge=1, description="tokens and pairs of tokens to list")
    batch_size: int = without_effect(32, ge=1, description="prompts read at a time")
    device: str | None = without_effect(
        None, description="device of the model; null: the profile's device for this model"
    )
    n_permutations: int = Field(999, ge=1, description="sign flips, and permutations of layers")
    n_bootstrap: int = Field(1000, ge=1, description="resamples for intervals")
    seed: int = Field(0, ge=0, description="seed of splits, random sets and resamples")
