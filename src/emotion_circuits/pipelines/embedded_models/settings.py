"""Parameters of the embedded models."""

from typing import Annotated

from pydantic import Field

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
    evaluators: EvaluatorPlan
    n_gate_texts: int = Field(1000, ge=8, description="texts each gate is measured on")
    n_gate_prompts: int = Field(100, ge=8, description="sets of four prompts for the other gates")
    n_gate_directions: int = Field(20, ge=2, description="random directions per emotion")
    gate_seed: int = 7
