"""Parameters of phase 3."""

from typing import Literal

from pydantic import Field, NonNegativeInt

from emotion_circuits.geometry.vector_methods import Method
from emotion_circuits.phase_settings import PhaseSettings


class EmotionVectorSettings(PhaseSettings):
    """Parameters of vectors, subspaces and probes."""

    hook_point: Literal["resid_pre", "resid_post"] = "resid_post"
    position_strategy: Literal["mean_over_tokens", "last_token", "trigger_token"] = (
        "mean_over_tokens"
    )
    layers: Literal["all"] | list[NonNegativeInt] = Field(
        "all", description="layers to use; all: all captured layers"
    )
    method: Method = Field("mean_difference", description="how vectors are computed")
    texts: Literal["all", "explicit", "implicit"] = Field(
        "all", description="texts that vectors are computed from, by whether they name emotions"
    )
    neutral_components_removed: NonNegativeInt = Field(
        0, description="leading components of neutral texts that vectors are orthogonal to"
    )
    n_components: int = Field(10, ge=1, description="directions per subspace")
    center: bool = Field(False, description="subtract the mean difference before the SVD")
    backend: Literal["torch", "sklearn"] = "torch"
    device: str = Field("cpu", description="device for torch")
    n_shuffles: int = Field(20, ge=2, description="label shuffles for the null control")
    seed: int = 0
