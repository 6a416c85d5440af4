"""Parameters of phase 4."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from emotion_circuits.geometry.maps import PENALTIES, MapOptions
from emotion_circuits.language_models import resolve_device
from emotion_circuits.phase_settings import PhaseSettings, without_effect

Position = Literal["mean_over_tokens", "last_token", "trigger_token"]


class AlignmentSettings(PhaseSettings):
    """How one model is mapped into another, and how their emotions are compared."""

    method: Literal["procrustes", "ridge", "cca"] = "ridge"
    map_positions: list[Position] = Field(
        ["mean_over_tokens"], min_length=1, description="pooled positions the map is learned on"
    )
    rank: int | None = Field(
        None, ge=1, description="principal components for procrustes and cca; null: all"
    )
    penalties: list[Annotated[float, Field(gt=0)]] = Field(
        list(PENALTIES), min_length=1, description="ridge penalties to choose from"
    )
    layer_matching: Literal["relative_depth"] | list[tuple[NonNegativeInt, NonNegativeInt]] = Field(
        "relative_depth", description="relative_depth, or pairs [layer of A, layer of B]"
    )
    k_max: int = Field(10, ge=1, description="largest number of directions of a subspace")
    n_permutations: int = Field(1000, ge=100, description="shuffles of pairs for the null")
    n_splits: int = Field(20, ge=1, description="halvings of the held-out pairs")
    n_resamples: int = Field(
        200, ge=1, description="bootstrap draws of the held-out clusters, for the choice of k"
    )
    n_halvings: int = Field(
        4, ge=1, description="halvings of the held-out clusters for the specificity"
    )
    n_swaps: int = Field(
        200,
        ge=100,
        description="exchanges of two emotions within clusters, the null of specificity",
    )
    n_random: int = Field(100, ge=1, description="random vectors to map")
    backend: Literal["torch", "numpy"] = "torch"
    device: str = without_effect("cpu", description="device for torch")
    seed: NonNegativeInt = 0

    def map_options(self) -> MapOptions:
        """Return the options for learning a map."""
        return MapOptions(
            method=self.method,
            rank=self.rank,
            penalties=tuple(self.penalties),
            backend=self.backend,
            device=resolve_device(self.device),
        )
