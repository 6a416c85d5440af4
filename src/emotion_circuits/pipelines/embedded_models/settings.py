"""Parameters of the embedded models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, model_validator

from emotion_circuits.embedded_world import WorldSettings
from emotion_circuits.phase_settings import PhaseSettings
from emotion_circuits.training.architectures import Shape
from emotion_circuits.training.schedule import TrainingSettings


class LanguageModelPlan(PhaseSettings):
    """Shape and training of one language model."""

    shape: Shape
    training: TrainingSettings
    seed: int = 0


class EvaluatorPlan(PhaseSettings):
    """Shape and training of the three evaluators."""

    shape: Shape
    training: TrainingSettings
    dropout: float = Field(0.1, ge=0, lt=1)
    word_dropout: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        description="for each evaluator, the probability that a token is hidden in training"
    )
    seed: int = 0


class EmbeddedModelSettings(PhaseSettings):
    """The world, the five models, and their gates."""

    world: WorldSettings
    device: str = "auto"
    vocab_size: int = Field(1024, ge=300, description="tokens, 256 bytes included")
    situation_weight: float = Field(
        0.25, ge=0, le=1, description="weight of situation tokens in the loss"
    )
    n_validation: int = Field(2000, ge=16, description="validation texts")
    n_prompts_per_emotion: int = Field(225, ge=2)
    n_fresh_prompts: int = Field(220, ge=1, description="further neutral prompts")
    corpus_seed: int = 1
    tiny_gpt2: LanguageModelPlan
    tiny_llama: LanguageModelPlan
    seeds: list[NonNegativeInt] = Field(
        [0, 1, 2],
        min_length=1,
        description="seeds of each language model in its card; that of the included one is its own",
    )
    evaluators: EvaluatorPlan
    n_gate_texts: int = Field(1000, ge=8, description="texts each gate is measured on")
    n_gate_prompts: int = Field(100, ge=8, description="sets of four prompts for the other gates")
    n_gate_directions: int = Field(20, ge=2, description="random directions per emotion")
    layers_up_to: float = Field(
        0.8, gt=0, le=1, description="share of the layers, from the first on, to steer at"
    )
    gate_seed: int = 7

    @model_validator(mode="after")
    def _seeds_have_the_included_ones(self) -> EmbeddedModelSettings:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds is {self.seeds}: the same value stands twice in the list")
        for name in ("tiny_gpt2", "tiny_llama"):
            own = getattr(self, name).seed
            if own not in self.seeds:
                raise ValueError(
                    f"seeds is {self.seeds}: it needs {own}, the seed of the included {name}"
                )
        return self
