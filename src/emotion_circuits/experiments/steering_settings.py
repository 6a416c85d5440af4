"""Parameters of steering, for phase 5 and for steering with mapped vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, field_validator, model_validator

from emotion_circuits.experiments.choice import Choices, choose_by_depth
from emotion_circuits.experiments.decoding import Decoding
from emotion_circuits.experiments.directions import Vectors, project, vectors_at
from emotion_circuits.experiments.generation_settings import GenerationSettings, refuse_repeats
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
from emotion_circuits.seeds import seed_for


class SteeringSettings(GenerationSettings):
    """The directions, layers, strengths and prompts of steering, and its controls."""

    split: Literal["test", "train", "all", "fresh"] = Field(
        "test", description="neutral prompts: a split of the dataset, or the profile's fresh ones"
    )
    max_samples_per_emotion: int | None = Field(
        None, ge=2, description="largest number of prompts; null: all"
    )
    layers: Literal["all"] | list[NonNegativeInt] = Field(
        "all", description="layers to steer at; all: those with vectors"
    )
    layers_up_to: float = Field(
        0.8,
        gt=0,
        le=1,
        description="share of the model's layers, from the first on, for the headline's choice",
    )
    alphas: list[FiniteFloat] = Field(
        [0.5, 1.0, 2.0], min_length=1, description="strengths, in lengths of the emotion vector"
    )
    schedule: Literal["constant", "decay", "list"] = "constant"
    decay_rate: float = Field(0.9, gt=0, le=1, description="decay: factor from step to step")
    strengths: list[FiniteFloat] = Field(
        [], description="list: factor of α at each step; 0 after the end of the list"
    )
    window: int | None = Field(
        None, ge=1, description="last positions to patch; null: from the prompt's end on"
    )
    new_tokens_only: bool = Field(False, description="with a window: do not patch the prompt")
    hook_point: Literal["resid_pre", "resid_post"] = Field(
        "resid_post", description="must be the point at which the vectors were measured"
    )
    operator: Literal["vector", "subspace", "project_out"] = "vector"
    subspace_rank: int = Field(3, ge=1, description="subspace: number of its directions")
    num_random: int = Field(20, ge=0, description="random directions per emotion and layer")
    num_covariance: int = Field(
        20, ge=0, description="random directions with the activations' covariance, likewise"
    )
    side_effect_texts: int = Field(
        40, ge=2, description="neutral test texts in which predictions are compared"
    )
    side_effect_random: int = Field(
        5, ge=0, description="random directions of each kind for comparison"
    )
    instructions: dict[str, str] = Field(
        {}, description="by emotion, text in front of prompts that asks for it; {}: no prompting"
    )
    neutral_instruction: str = Field(
        "", description="text of the same form that asks for no emotion; empty: none"
    )
    chat: bool = Field(
        False, description="give instructions as a user's message; the prompt begins the answer"
    )
    system_prompt: str = Field("", description="with chat: system prompt; empty: the template's")
    num_shuffled: int = Field(20, ge=0, description="shuffled vectors per emotion and layer")
    random_layers: Literal["selected", "all"] | list[NonNegativeInt] = Field(
        "selected", description="layers of controls; selected: those chosen for the emotion"
    )
    random_prompts: Literal["all", "confirm"] = Field(
        "all", description="prompts of controls; confirm: the half that reports"
    )
    random_alphas: Literal["selected", "all"] = Field(
        "all",
        description="strengths of controls; selected: the chosen one. Among the last layers, "
        "random_layers selected runs them at the chosen strength alone",
    )
    sampling: Literal["greedy", "temperature"] = "greedy"
    temperature: float = Field(1.0, gt=0)
    score: Literal["continuation", "full_text"] = Field(
        "continuation", description="text that evaluators read"
    )
    max_fluency_loss: float = Field(
        0.5, description="largest fluency loss of a chosen layer and α, in nats per token"
    )

    _are_distinct = field_validator("alphas", "layers", "random_layers")(refuse_repeats)

    @model_validator(mode="after")
    def _belong_together(self) -> SteeringSettings:
        if (self.schedule == "list") != bool(self.strengths):
            raise ValueError(
                f"schedule is {self.schedule!r} and strengths is {self.strengths}: schedule list "
                "needs strengths, and no other schedule has them"
            )
        return self

    def decoding(self, seed: int | None = None) -> Decoding:
        """Return the settings of generation and scoring.

        Args:
            seed: Seed of sampling; None for the phase's seed.
        """
        sampling = None
        if self.sampling == "temperature":
            sampling = Sampling(self.temperature, self.seed if seed is None else seed)
        return replace(super().decoding(), sampling=sampling, score=self.score)

    def injected(
        self, emotion_vectors: Mapping[str, Any], emotion_subspaces: Mapping[str, Any]
    ) -> Vectors:
        """Return by emotion and layer the direction added at α = 1.

        This is the emotion vector, or with operator ``subspace`` its projection onto the subspace.

        Args:
            emotion_vectors: Phase 3's vectors.
            emotion_subspaces: Phase 3's subspaces.

        Raises:
            InputError: If a layer has no vector, or the vectors were measured at another hook
                point.
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

    def covariance_seeds(self, vectors: Vectors) -> dict[tuple[str, int], list[int]]:
        """Return the seeds of random directions with the activations' covariance.

        Args:
            vectors: By emotion and layer, the vectors that the directions are compared with.
        """
        return {
            (emotion, layer): [
                seed_for(self.seed, "covariance", emotion, layer, index)
                for index in range(self.num_covariance)
            ]
            for emotion, layer in vectors
        }

    def choose(self, outcomes: Outcomes, emotions: EmotionSet, n_layers: int) -> Choices:
        """Choose layers and strengths for each emotion, on one half of the prompts.

        Args:
            outcomes: The emotions' sweep.
            emotions: The study's emotions.
            n_layers: Number of layers of the model.

        Returns:
            The choices of ``choose_by_depth``: for the headline, and among the last layers.
        """
        return choose_by_depth(
            outcomes,
            emotions.target_metrics,
            n_layers=n_layers,
            layers_up_to=self.layers_up_to,
            max_fluency_loss=self.max_fluency_loss,
        )

    def steering(self) -> Steering:
        """Return how directions act, for emotions and controls alike."""
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
