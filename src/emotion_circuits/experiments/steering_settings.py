"""Parameters of steering: phase 5, and what steers another model by the same rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, field_validator, model_validator

from emotion_circuits.experiments.choice import Choice, choose_conditions
from emotion_circuits.experiments.decoding import Decoding
from emotion_circuits.experiments.directions import Vectors, project, vectors_at
from emotion_circuits.experiments.generation_settings import GenerationSettings
from emotion_circuits.experiments.outcomes import Outcomes
from emotion_circuits.experiments.steering import Steering
from emotion_circuits.interventions import (
    Constant,
    Decay,
    Listed,
    Sampling,
    Strength,
    positions_for_window,
)
from emotion_circuits.prompts import EmotionSet


class SteeringSettings(GenerationSettings):
    """What is added where, to which prompts, and what it is compared with."""

    split: Literal["test", "train", "all", "fresh"] = Field(
        "test", description="which neutral prompts: of the dataset, or the profile's fresh ones"
    )
    max_samples_per_emotion: int | None = Field(
        None, ge=2, description="at most so many prompts; null: all"
    )
    layers: Literal["all"] | list[NonNegativeInt] = Field(
        "all", description="of those that have vectors"
    )
    alphas: list[FiniteFloat] = Field(
        [0.5, 1.0, 2.0], min_length=1, description="strengths, in lengths of the emotion vector"
    )
    schedule: Literal["constant", "decay", "list"] = "constant"
    decay_rate: float = Field(0.9, gt=0, le=1, description="decay: factor from step to step")
    strengths: list[FiniteFloat] = Field(
        [], description="list: what α is multiplied by at each step; 0 after its end"
    )
    window: int | None = Field(
        None, ge=1, description="patch the last so many positions; null: from the prompt's end on"
    )
    new_tokens_only: bool = Field(False, description="with a window: leave the prompt alone")
    hook_point: Literal["resid_pre", "resid_post"] = Field(
        "resid_post", description="must be where the vectors were measured"
    )
    operator: Literal["vector", "subspace", "project_out"] = "vector"
    subspace_rank: int = Field(3, ge=1, description="subspace: directions to keep of the vector")
    num_random: int = Field(20, ge=0, description="random directions per emotion and layer")
    num_shuffled: int = Field(20, ge=0, description="vectors of shuffled labels, likewise")
    random_layers: Literal["selected", "all"] | list[NonNegativeInt] = Field(
        "selected", description="where controls run: at the layer chosen for the emotion, or more"
    )
    random_alphas: Literal["selected", "all"] = Field(
        "all", description="at which strengths controls run"
    )
    sampling: Literal["greedy", "temperature"] = "greedy"
    temperature: float = Field(1.0, gt=0)
    score: Literal["continuation", "full_text"] = Field(
        "continuation", description="what evaluators read"
    )
    max_fluency_loss: float = Field(
        0.5, description="nats per token that a chosen layer and α may cost"
    )

    @field_validator("alphas", "layers", "random_layers")
    @classmethod
    def _are_distinct(cls, values: object) -> object:
        if isinstance(values, list) and len(set(values)) < len(values):
            raise ValueError("the same value stands twice in the list")
        return values

    @model_validator(mode="after")
    def _belong_together(self) -> SteeringSettings:
        if (self.schedule == "list") != bool(self.strengths):
            raise ValueError(
                f"schedule is {self.schedule!r} and strengths is {self.strengths}: schedule list "
                "needs strengths, and no other schedule has them"
            )
        return self

    def decoding(self, seed: int | None = None) -> Decoding:
        """Give how texts are generated and scored.

        Args:
            seed: Of sampling; None for the phase's own.
        """
        sampling = None
        if self.sampling == "temperature":
            sampling = Sampling(self.temperature, self.seed if seed is None else seed)
        return replace(super().decoding(), sampling=sampling, score=self.score)

    def injected(
        self, emotion_vectors: Mapping[str, Any], emotion_subspaces: Mapping[str, Any]
    ) -> Vectors:
        """Give what α = 1 adds, by emotion and layer: the vector, or its part in the subspace.

        Args:
            emotion_vectors: Phase 3's result.
            emotion_subspaces: Phase 3's result.

        Raises:
            InputError: If a layer has no vector, or they were measured at another hook point.
        """
        vectors = vectors_at(emotion_vectors, self.layers, self.hook_point)
        if self.operator != "subspace":
            return vectors
        bases = emotion_subspaces["subspaces"]
        return {
            (emotion, layer): project(
                vector, bases[emotion][layer]["components"][: self.subspace_rank]
            )
            for (emotion, layer), vector in vectors.items()
        }

    def choose(self, outcomes: Outcomes, emotions: EmotionSet) -> dict[str, Choice]:
        """Choose a layer and a strength for each emotion, on one half of the prompts."""
        return choose_conditions(
            outcomes, emotions.target_metrics, max_fluency_loss=self.max_fluency_loss
        )

    def steering(self) -> Steering:
        """Give how directions act, emotions' and controls' alike."""
        return Steering(
            hook_point=self.hook_point,
            operator="project_out" if self.operator == "project_out" else "add",
            positions=positions_for_window(self.window, new_tokens_only=self.new_tokens_only),
            strength=self._strength(),
        )

    def _strength(self) -> Callable[[float], Strength]:
        if self.schedule == "decay":
            return partial(Decay, rate=self.decay_rate)
        return partial(_listed, self.strengths) if self.schedule == "list" else Constant


def _listed(factors: list[float], alpha: float) -> Listed:
    return Listed(tuple(alpha * factor for factor in factors))
