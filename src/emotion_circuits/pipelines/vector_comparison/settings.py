"""Parameters of the comparison of vector recipes."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, field_validator

from emotion_circuits.experiments.generation_settings import GenerationSettings, refuse_repeats
from emotion_circuits.experiments.vector_recipes import VectorRecipe
from emotion_circuits.layer_choice import Depth


class VectorComparisonSettings(GenerationSettings):
    """The recipes that are compared, and the steering that compares them."""

    recipes: list[VectorRecipe] = Field(min_length=1, description="recipes to compare")
    hook_point: Literal["resid_pre", "resid_post"] = "resid_post"
    layer: NonNegativeInt | Depth = Field(
        0.4, description="layer to steer at, by number or by share of depth"
    )
    relative_doses: list[Annotated[float, Field(gt=0)]] = Field(
        [0.2, 0.3, 0.4], min_length=1, description="strengths, in lengths of the residual stream"
    )
    max_fluency_loss: float = Field(
        0.5, description="largest fluency loss of a chosen strength, in nats per token"
    )
    split: Literal["test", "train", "all", "fresh"] = Field(
        "fresh", description="neutral prompts: a split of the dataset, or the profile's fresh ones"
    )
    max_samples_per_emotion: int | None = Field(
        60, ge=2, description="largest number of neutral prompts; null: all"
    )
    n_random: int = Field(20, ge=1, description="random directions that style is compared with")

    _are_distinct = field_validator("relative_doses")(refuse_repeats)

    @field_validator("recipes")
    @classmethod
    def _are_different(cls, recipes: list[VectorRecipe]) -> list[VectorRecipe]:
        for index, recipe in enumerate(recipes):
            if recipe in recipes[:index]:
                raise ValueError(f"recipe {index + 1} stands twice in the list")
        return recipes
