"""What both phases on heads begin with: prompts in halves, their tokens, their continuations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from emotion_circuits.circuits import choose_prompts
from emotion_circuits.errors import unknown_name
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.interventions import Checkpoint, Row, decode, generate_rows
from emotion_circuits.language_models import LanguageModel, resolve_device
from emotion_circuits.pipelines.generation_settings import GenerationSettings


class HeadSettings(GenerationSettings):
    """What both phases on heads have in common."""

    split: Literal["test", "train", "all"] = Field(
        "test", description="which prompts; vectors are measured on those of train"
    )
    max_samples_per_emotion: int | None = Field(
        None, ge=2, description="at most so many pairs of prompts; null: all"
    )


@dataclass(frozen=True)
class HeadPrompts:
    """Prompts of a phase, and the model they are for.

    Attributes:
        model: On the device that was asked for.
        table: ``text``, ``emotion``, ``pair_id``, ``cue`` and ``half`` of each prompt.
        ids: Tokens of each prompt, BOS included.
        n_special: 1 where prompts begin with BOS, else 0.
    """

    model: LanguageModel
    table: pd.DataFrame
    ids: list[tuple[int, ...]]
    n_special: int

    @classmethod
    def prepare(cls, model: LanguageModel, prompts: pd.DataFrame, settings: HeadSettings) -> Self:
        """Choose and encode prompts, and move the model.

        Raises:
            InputError: If pairs are not whole or too few.
        """
        table = choose_prompts(
            prompts, split=settings.split, limit=settings.max_samples_per_emotion
        )
        if settings.device is not None:
            model = model.on(resolve_device(settings.device))
        ids = [tuple(model.encode(text)) for text in table["text"]]
        return cls(model, table, ids, 0 if model.bos_token_id is None else 1)

    def rows_of(self, half: str) -> list[int]:
        """Give the prompts of a half."""
        return np.flatnonzero(self.table["half"] == half).tolist()

    def continue_rows(
        self,
        rows: Sequence[Row],
        settings: HeadSettings,
        what: str,
        checkpoint: Checkpoint | None,
    ) -> list[tuple[int, ...]]:
        """Generate rows greedily and give new tokens; finished rows outlive a killed run."""
        results = generate_rows(
            self.model,
            rows,
            max_new_tokens=settings.sequence_length,
            batch_rows=settings.rows,
            checkpoint=checkpoint,
            progress=f"{self.model.name} {what}",
        )
        return [result.token_ids for result in results]

    def decode(self, tokens: Sequence[tuple[int, ...]]) -> list[str]:
        """Give the texts of continuations."""
        return [decode(self.model, ids) for ids in tokens]


def check_targets(evaluator: TextEvaluator, settings: HeadSettings) -> None:
    """Refuse a target metric that no evaluator has.

    Raises:
        InputError: If there is one.
    """
    for target in settings.target_metrics.values():
        if target not in evaluator.keys:
            raise unknown_name("metric", target, evaluator.keys, where="the profile's evaluators")


def nest(scores: Mapping[str, np.ndarray], place: Any, digits: int = 6) -> dict[str, Any]:
    """Give ``{metric: {label: float}}`` for one text."""
    nested: dict[str, Any] = {}
    for key, values in scores.items():
        metric, label = key.split("/", 1)
        nested.setdefault(metric, {})[label] = round(float(values[place]), digits)
    return nested
