"""Parameters of the selfcheck."""

from __future__ import annotations

from pydantic import Field, field_validator

from emotion_circuits.phase_settings import PhaseSettings
from emotion_circuits.planted import PlantedShape


class Bars(PhaseSettings):
    """What recovered numbers must reach."""

    direction_cosine: float = Field(0.95, description="smallest cosine of vector and direction")
    screening_auroc: float = Field(0.95, description="smallest AUROC of a score's own heads")
    heads_significant: float = Field(
        0.95, description="smallest share of planted heads whose effect is significant"
    )
    heads_share: float = Field(
        0.9, description="smallest share of the effect that all planted, or redundant, heads move"
    )
    other_share: float = Field(
        0.2, description="largest share that as many other heads, or one redundant head, move"
    )
    circuit_share: float = Field(
        0.9, description="smallest precision and recall of a circuit, and share of roles recovered"
    )
    edge_share: float = Field(0.8, description="smallest share of planted edges recovered")
    circuit_faithfulness: float = Field(
        0.9, description="smallest faithfulness of the planted circuit"
    )
    circuit_distance: float = Field(
        0.05, description="largest mean distance of its faithfulness from 1 as other nodes join"
    )
    steered_share: float = Field(
        0.9, description="smallest share of words that are the emotion's, where its vector steers"
    )
    steered_nothing: float = Field(
        0.1, description="largest share where it does not, and of other emotions' words"
    )


class SelfcheckSettings(PhaseSettings):
    """The models to check, and the bars."""

    models: list[str] = Field(
        [], description="folders of models with a planted.json; []: models are built"
    )
    shapes: list[PlantedShape] = Field(
        [PlantedShape.model_validate({})],
        min_length=1,
        description="shapes of built models, in turn",
    )
    n_seeds: int = Field(10, ge=1, description="number of built models with a planted circuit")
    n_unplanted: int = Field(10, ge=0, description="number of built models without one")
    first_seed: int = Field(0, ge=0, description="seed of the first model of each kind")
    sequence_length: int = Field(4, ge=1, description="number of new tokens")
    n_pairs: int | None = Field(
        24, ge=2, description="largest number of pairs of prompts for heads; null: all"
    )
    alpha: float = Field(
        0.05, gt=0, lt=1, description="chance of a significant head where nothing is planted"
    )
    n_bootstrap: int = Field(1000, ge=1, description="resamples for intervals")
    bars: Bars = Bars.model_validate({})

    @field_validator("models", mode="before")
    @classmethod
    def _is_a_list(cls, models: object) -> object:
        """Read one folder, as the command line gives it, as a list of one."""
        return [models] if isinstance(models, str) else models
