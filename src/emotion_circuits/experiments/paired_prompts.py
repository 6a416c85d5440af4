"""Pairs of prompts of an experiment on heads, with their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.experiments.head_conditions import mean_outputs
from emotion_circuits.interventions import capture_heads
from emotion_circuits.language_models import LanguageModel, first_text_position
from emotion_circuits.prompts import CLUSTER, PAIR_HALVES, EmotionSet, choose_pairs, pair_indices


@dataclass(frozen=True)
class PairedPrompts:
    """Prompts in pairs and halves, tokenized for a model.

    Attributes:
        model: The model.
        emotions: The study's emotions.
        table: ``text``, ``emotion``, ``pair_id``, ``cue``, ``half`` and ``cluster`` of each prompt.
        ids: Tokens of each prompt, BOS included.
        n_special: Number of tokens before each text: BOS, or the beginning of the chat template.
    """

    model: LanguageModel
    emotions: EmotionSet
    table: pd.DataFrame
    ids: list[tuple[int, ...]]
    n_special: int

    @classmethod
    def prepare(
        cls,
        model: LanguageModel,
        prompts: pd.DataFrame,
        emotions: EmotionSet,
        *,
        split: str,
        limit: int | None,
    ) -> PairedPrompts:
        """Choose pairs of prompts and encode them.

        Args:
            model: The model.
            prompts: Phase 1's table.
            emotions: The study's emotions.
            split: ``train``, ``test`` or ``all``.
            limit: Largest number of pairs; None for all.

        Raises:
            InputError: If a pair is incomplete, or there are too few pairs.
        """
        table = choose_pairs(prompts, emotions, split=split, limit=limit)
        ids = [tuple(model.encode(text)) for text in table["text"]]
        n_special = min(first_text_position(model, text) for text in table["text"])
        return cls(model, emotions, table, ids, n_special)

    @property
    def labels(self) -> list[str]:
        """Label of each prompt."""
        return self.table["emotion"].tolist()

    @property
    def halves(self) -> list[str]:
        """Half of each prompt."""
        return self.table["half"].tolist()

    def pairs(self, emotion: str) -> list[tuple[int, int]]:
        """Return the indices of each pair's emotional prompt and neutral prompt."""
        return pair_indices(self.table, self.emotions, emotion)

    @cached_property
    def coordinates(self) -> list[dict[str, Any]]:
        """The coordinates of each prompt in an experiment."""
        named = self.table[["text", "emotion", "pair_id", "half", CLUSTER]]
        names = ("prompt", "label", "pair_id", "half", CLUSTER)
        return [
            {"prompt_index": index, **dict(zip(names, values, strict=True))}
            for index, values in enumerate(named.itertuples(index=False))
        ]

    def head_outputs(self, batch_size: int) -> dict[int, Float[Tensor, "layer pos head d_head"]]:
        """Return every head's output on each unpatched prompt, by the prompt's index."""
        outputs: dict[int, Tensor] = {}
        for batch in capture_heads(self.model, self.ids, batch_size=batch_size):
            assert batch.z is not None
            outputs |= dict(zip(batch.rows, batch.z, strict=True))
        return outputs

    def mean_outputs(
        self, z: dict[int, Float[Tensor, "layer pos head d_head"]]
    ) -> dict[str, Float[Tensor, "layer head d_head"]]:
        """Return for each half the heads' mean outputs over the prompts of the other half.

        A prompt and its partners thus do not contribute to the prompt's own ablation.

        Args:
            z: The result of ``head_outputs``.
        """
        labels, halves = dict(enumerate(self.labels)), np.array(self.halves)
        means = {}
        for half, other in zip(PAIR_HALVES, reversed(PAIR_HALVES), strict=True):
            others = {index: z[index] for index in np.flatnonzero(halves == other).tolist()}
            means[half] = mean_outputs(others, labels, n_special=self.n_special)
        return means
