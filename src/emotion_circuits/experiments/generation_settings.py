"""Parameters of the phases that generate and score texts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from emotion_circuits.experiments.decoding import Decoding
from emotion_circuits.language_models import LanguageModel, resolve_device
from emotion_circuits.phase_settings import PhaseSettings, without_effect


def refuse_repeats(values: object) -> object:
    """Refuse a list that holds a value twice; return other values unchanged."""
    if isinstance(values, list) and len(set(values)) < len(values):
        raise ValueError("the same value stands twice in the list")
    return values


class GenerationSettings(PhaseSettings):
    """Parameters shared by the phases that generate and score texts."""

    sequence_length: int = Field(30, ge=1, description="largest number of new tokens")
    rows: Literal["auto"] | int = without_effect("auto", description="texts generated at a time")
    batch_size: int = without_effect(
        64, ge=1, description="texts scored, or prompts read, at a time"
    )
    device: str | None = without_effect(
        None, description="device of the model; null: the profile's device for this model"
    )
    n_bootstrap: int = Field(1000, ge=1, description="resamples for intervals")
    seed: int = Field(0, ge=0, description="seed of halves, controls, samples and resamples")

    @field_validator("rows")
    @classmethod
    def _is_positive(cls, rows: str | int) -> str | int:
        if isinstance(rows, int) and rows < 1:
            raise ValueError("allowed are auto and whole numbers from 1")
        return rows

    def placed(self, model: LanguageModel) -> LanguageModel:
        """Move the model to ``device``, unless that is null, and return it."""
        return model if self.device is None else model.on(resolve_device(self.device))

    def decoding(self) -> Decoding:
        """Return greedy decoding, with scores of the continuation alone."""
        return Decoding(
            max_new_tokens=self.sequence_length,
            batch_rows=self.rows,
            batch_size=self.batch_size,
        )
