"""Parameters of circuit discovery."""

from typing import Literal

from pydantic import Field, NonNegativeInt

from emotion_circuits.circuits.circuit import Criterion
from emotion_circuits.language_models import LanguageModel, resolve_device
from emotion_circuits.phase_settings import PhaseSettings, without_effect


class EdgeCircuitSettings(PhaseSettings):
    """Exact runs of circuits of edges; a row of them costs more than one of nodes."""

    n_sizes: int = Field(12, ge=2, description="sizes on the curve of faithfulness")
    num_random: int = Field(50, ge=1, description="random circuits per kind, for a rank p")
    num_orders: int = Field(4, ge=1, description="random orders, whose curves are compared")
    num_shuffled: int = Field(10, ge=1, description="circuits by scores of shuffled labels")
    num_losses: int = Field(20, ge=1, description="members of a circuit whose loss is run")


class CircuitSettings(PhaseSettings):
    """The pairs of prompts, the scores, the circuit's threshold, and its controls."""

    split: Literal["test", "train", "all"] = Field("test", description="split of the prompts")
    max_samples_per_emotion: int | None = Field(
        24, ge=2, description="largest number of pairs of prompts; null: all"
    )
    target: Literal["log_odds", "projection"] = Field(
        "log_odds", description="what scores attribute: odds of marking tokens, or the vector"
    )
    vector_layer: NonNegativeInt | None = Field(
        None, description="layer of the emotion vectors for projection; null: the last one"
    )
    steps: int = Field(20, ge=1, description="steps of integrated gradients; 1: patching")
    variant: Literal["inputs", "activations"] = Field(
        "inputs", description="what moves between the prompts: embeddings, or each layer's outputs"
    )
    order: Literal["absolute", "signed"] = Field(
        "absolute", description="whether nodes that lower the target rank high or last"
    )
    ablation: Literal["resample", "mean"] = Field(
        "resample", description="what replaces nodes outside the circuit: partner's output or mean"
    )
    threshold: float = Field(0.9, gt=0, description="faithfulness that the circuit must reach")
    most: float | None = Field(
        None, gt=0, description="largest faithfulness, so that nodes that lower it count; null: any"
    )
    gap: float | None = Field(
        None,
        gt=0,
        description="largest difference between the loss of a member from the circuit and from the "
        "model, so that backups count (completeness); null: any",
    )
    prune: bool = Field(True, description="whether members that are not needed are dropped")
    n_sizes: int = Field(24, ge=2, description="sizes on the curve of faithfulness")
    num_random: int = Field(200, ge=1, description="random circuits per kind, for a rank p")
    num_orders: int = Field(19, ge=1, description="random orders, whose curves are compared")
    num_shuffled: int = Field(20, ge=1, description="discoveries with shuffled labels")
    num_resamples: int = Field(10, ge=2, description="discoveries on resampled pairs")
    max_edges: int | None = Field(
        2000, ge=1, description="edges per emotion in the table, the largest; null: all"
    )
    edges: EdgeCircuitSettings | None = Field(
        EdgeCircuitSettings.model_validate({}),
        description="exact runs of circuits of edges; null: none",
    )
    neurons: Literal["in_circuit"] | tuple[NonNegativeInt, ...] | None = Field(
        None, description="MLPs whose neurons are scored: layers, or those in the circuit; null: no"
    )
    max_neurons: int | None = Field(
        20, ge=1, description="neurons per MLP in the table, the largest; null: all"
    )
    untrained_seed: NonNegativeInt | None = Field(
        None, description="seed of random weights whose circuits are a control; null: no control"
    )
    batch_size: int = without_effect(
        16, ge=1, description="pairs whose gradients are taken at a time"
    )
    device: str | None = without_effect(
        None, description="device of the model; null: the profile's device"
    )
    n_bootstrap: int = Field(1000, ge=1, description="resamples for intervals")
    seed: int = Field(0, ge=0, description="seed of controls and resamples")

    def criterion(self) -> Criterion:
        """Return what a circuit must reach."""
        return Criterion(self.threshold, self.most, self.gap)

    def placed(self, model: LanguageModel) -> LanguageModel:
        """Move the model to ``device``, unless that is null, and return it."""
        return model if self.device is None else model.on(resolve_device(self.device))
