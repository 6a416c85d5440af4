"""The training loop, its settings and its learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from emotion_circuits.progress import progress_bar


class TrainingSettings(BaseModel):
    """Length and speed of training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_texts: int = Field(ge=1, description="training texts; each is seen once per epoch")
    n_epochs: int = Field(1, ge=1)
    batch_size: int = Field(64, ge=1, description="texts per step")
    learning_rate: float = Field(3e-3, gt=0, description="peak, at the end of the warm-up")
    warmup_share: float = Field(0.05, ge=0, lt=1)
    final_share: float = Field(
        0.02, ge=0, le=1, description="share of the peak rate at the last step"
    )
    weight_decay: float = Field(0.05, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    validate_every: int = Field(500, ge=1, description="steps between validations")
    patience: int = Field(8, ge=1, description="validations without progress before training stops")
    keep: Literal["best", "last"] = Field(
        "best", description="weights to keep: of the best validation or of the last step"
    )


def learning_rate(step: int, n_steps: int, settings: TrainingSettings) -> float:
    """Return the rate: linear warm-up, then half a cosine down to ``final_share`` of the peak."""
    warmup = max(1, round(settings.warmup_share * n_steps))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, n_steps - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return settings.learning_rate * (settings.final_share + (1 - settings.final_share) * cosine)


@dataclass
class Progress:
    """Losses so far, and the weights with the lowest validation loss."""

    steps: list[int] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    since_best: int = 0
    stopped_early: bool = False

    @property
    def best(self) -> float:
        """The lowest validation loss; infinite before the first validation."""
        return min(self.validation_losses, default=math.inf)

    def add(self, step: int, train: float, validation: float, model: nn.Module) -> None:
        """Record a validation, and copy the weights if its loss is the lowest."""
        if validation < self.best:
            self.best_weights = {
                name: value.detach().clone() for name, value in model.state_dict().items()
            }
            self.since_best = 0
        else:
            self.since_best += 1
        self.steps.append(step)
        self.train_losses.append(train)
        self.validation_losses.append(validation)

    def curve(self) -> list[dict[str, int | float]]:
        """Return ``step``, ``train_loss`` and ``validation_loss`` of each validation."""
        points = zip(self.steps, self.train_losses, self.validation_losses, strict=True)
        return [
            {"step": step, "train_loss": round(train, 5), "validation_loss": round(validation, 5)}
            for step, train, validation in points
        ]


def train(
    model: nn.Module,
    batches: Callable[[int], Iterable[Any]],
    n_steps: int,
    loss_of: Callable[[Any], Tensor],
    validate: Callable[[], float],
    settings: TrainingSettings,
    name: str,
) -> Progress:
    """Train for ``n_steps`` or until validation stops improving.

    Args:
        model: Trained in place; ends with the weights that ``settings.keep`` selects.
        batches: Returns the batches of an epoch, numbered from 0.
        n_steps: Number of steps over all epochs.
        loss_of: Computes the mean loss of a batch.
        validate: Computes the loss or error on the validation texts.
        settings: Learning rate and patience.
        name: Label of the progress bar.

    Returns:
        The losses at each validation.
    """
    decayed = [weight for weight in model.parameters() if weight.dim() >= 2]
    others = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)
    progress = Progress()
    losses: list[Tensor] = []
    with progress_bar(total=n_steps, desc=f"training {name}", unit="step") as bar:
        for step, batch in enumerate(_steps(batches, n_steps)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, n_steps, settings)
            model.train()
            loss = loss_of(batch)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
            bar.update()
            if (step + 1) % settings.validate_every == 0 or step + 1 == n_steps:
                model.eval()
                mean = torch.stack(losses).mean().item()
                progress.add(step + 1, mean, validate(), model)
                losses = []
                bar.set_postfix(loss=f"{mean:.3f}", validation=f"{progress.best:.3f}")
            if progress.since_best >= settings.patience:
                progress.stopped_early = True
                break
    if settings.keep == "best":
        model.load_state_dict(progress.best_weights)
    model.eval()
    return progress


def _steps(batches: Callable[[int], Iterable[Any]], n_steps: int) -> Iterator[Any]:
    done = epoch = 0
    while done < n_steps:
        for batch in batches(epoch):
            if done == n_steps:
                return
            yield batch
            done += 1
        epoch += 1
