"""Parameters of head patching."""

from typing import Literal

from pydantic import Field, field_validator

from emotion_circuits.experiments.generation_settings import refuse_repeats
from emotion_circuits.experiments.head_sets import HEAD_SCORES
from emotion_circuits.experiments.head_settings import HeadSettings

_SCORES = tuple(name.format(kind) for name in HEAD_SCORES for kind in ("zero", "mean"))


class HeadPatchingSettings(HeadSettings):
    """The heads to change, the changes, and the controls."""

    heads: str = Field("top_k", description="top_k, or a list of heads: 0:0 1:3, 0:0-11, 0:*, all")
    top_k: int = Field(4, ge=1, description="number of heads that the screening chooses")
    score: str = Field(
        "reaction_drop_mean", description="column of the screening's table that ranks heads"
    )
    ablations: list[Literal["zero", "mean", "resample"]] = Field(
        ["mean", "zero", "resample"], description="ablations of the set; may be empty"
    )
    directions: list[Literal["neutral_to_emotion", "emotion_to_neutral"]] = Field(
        ["emotion_to_neutral", "neutral_to_emotion"],
        description="directions of patching between the prompts of a pair; may be empty",
    )
    modes: list[Literal["pattern_v", "v_only"]] = Field(
        ["pattern_v", "v_only"], min_length=1, description="activations taken from the other prompt"
    )
    single_heads: bool = Field(True, description="also patch each head of the set alone")
    num_random: int = Field(20, ge=0, description="random sets that texts are generated with")
    num_other: int = Field(10, ge=0, description="sets without chosen heads, as a description")
    random_layers: Literal["any", "same"] = Field(
        "any", description="same: as many heads from each layer as the set has, in these sets"
    )
    rank_random: int = Field(
        200, ge=0, description="random sets for ranks by log-probabilities; 0: no such ranks"
    )
    rank_pairs: int | None = Field(
        12, ge=2, description="largest number of scenarios for these ranks; null: all"
    )
    rank_layers: list[Literal["any", "same"]] = Field(
        ["any"], min_length=1, description="layers that these random sets are drawn from"
    )

    @field_validator("heads", mode="before")
    @classmethod
    def _undo_yaml(cls, heads: object) -> object:
        """Undo YAML's reading of a single unquoted head: it reads ``1:3`` as 63, in base 60."""
        return "{}:{}".format(*divmod(heads, 60)) if type(heads) is int else heads

    @field_validator("score")
    @classmethod
    def _is_known(cls, score: str) -> str:
        if score not in _SCORES:
            raise ValueError(f"known are {', '.join(dict.fromkeys(_SCORES))}")
        return score

    _are_distinct = field_validator("ablations", "directions", "modes", "rank_layers")(
        refuse_repeats
    )
