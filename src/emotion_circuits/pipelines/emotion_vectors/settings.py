"""Parameters of phase 3."""

from typing import Literal

from pydantic import Field, NonNegativeInt

from emotion_circuits.experiments.vector_recipes import VectorRecipe
from emotion_circuits.phase_settings import without_effect


class EmotionVectorSettings(VectorRecipe):
    """Parameters of vectors, subspaces and probes."""

    hook_point: Literal["resid_pre", "resid_post"] = "resid_post"
    layers: Literal["all"] | list[NonNegativeInt] = Field(
        "all", description="layers to use; all: all captured layers"
    )
    n_components: int = Field(10, ge=1, description="directions per subspace")
    center: bool = Field(False, description="subtract the mean difference before the SVD")
    backend: Literal["torch", "sklearn"] = "torch"
    device: str = without_effect("cpu", description="device for torch")
    n_shuffles: int = Field(20, ge=2, description="label shuffles for the null control")
    seed: int = 0
