"""Parameters of the evaluators of natural English."""

from pydantic import Field

from emotion_circuits.phase_settings import PhaseSettings


class EvaluatorTraining(PhaseSettings):
    """Length and speed of one evaluator's training."""

    n_epochs: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=1, description="texts per step")
    learning_rate: float = Field(default=1e-4, gt=0, description="peak, after the warm-up")


class RealEvaluatorSettings(PhaseSettings):
    """Encoder and trainings."""

    encoder: str = Field(description="hub id, folder, file, or package:<name>/<path>")
    revision: str | None = Field(None, description="branch, tag or commit of the hub repository")
    device: str = "auto"
    max_tokens: int = Field(default=96, ge=8, description="longer texts are cut")
    word_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="probability that a token is hidden in training"
    )
    validation_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="share of training templates that choose the step"
    )
    emotions: EvaluatorTraining
    goemotions: EvaluatorTraining
    seed: int = 0
