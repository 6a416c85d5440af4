"""The unpatched model's reactions to pairs of prompts, read under interventions.

A reaction is what the unpatched model writes after a prompt. Its log-probability under an
intervention needs no generation and uses every token, so it shows effects that change no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from emotion_circuits.experiments.outcomes import Outcomes
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import Row, continuation_log_probs

# Indices of a pair's emotional prompt and neutral prompt.
Pair = tuple[int, int]


@dataclass(frozen=True)
class Reactions:
    """The reactions to prompts in pairs.

    Attributes:
        prompts: The prompts.
        tokens: Token ids of the unpatched model's reaction, by the prompt's index.
    """

    prompts: PairedPrompts
    tokens: Sequence[tuple[int, ...]]

    @classmethod
    def of(cls, prompts: PairedPrompts, outcomes: Outcomes) -> Reactions:
        """Take the reactions from an experiment's baseline, in the order of the prompts."""
        return cls(prompts, [tuple(ids) for ids in outcomes.baseline.table["token_ids"]])

    def preferences(
        self, rows: Sequence[Row], pairs: Sequence[Pair], *, progress: str | None = None
    ) -> Float[np.ndarray, " row"]:
        """Return by how much each row prefers the emotional reaction of a pair to the neutral one.

        Args:
            rows: Prompts and conditions; any prompt may be read.
            pairs: For each row, the pair whose two reactions are read after its prompt.
            progress: Label of a progress bar; ``None`` for no bar.

        Returns:
            Mean log-probability per token of the reaction to the pair's emotional prompt, minus
            that of the reaction to its neutral prompt, in nats.

        Source: log-probability differences as the measure of patching, Wang et al. 2022,
        arXiv:2211.00593; Zhang and Nanda 2023, arXiv:2309.16042.
        """
        own = [self.tokens[emotional] for emotional, _ in pairs]
        neutral = [self.tokens[other] for _, other in pairs]
        values = continuation_log_probs(
            self.prompts.model, [*rows, *rows], [*own, *neutral], progress=progress
        )
        preferences: np.ndarray = values[: len(rows)] - values[len(rows) :]
        return preferences

    @cached_property
    def unpatched(self) -> dict[Pair, tuple[float, float]]:
        """The unpatched model's preference on each pair's emotional and neutral prompt.

        The first is also what the lost emotion alone costs: the nats per token that the reaction
        to the neutral prompt costs after the emotional prompt, beyond the model's own reaction.
        Minus the second is what an emotion alone costs after the neutral prompt.
        """
        pairs = [pair for name in self.prompts.emotions.names for pair in self.prompts.pairs(name)]
        ids = self.prompts.ids
        rows = [Row(ids[prompt]) for pair in pairs for prompt in pair]
        values = self.preferences(rows, [pair for pair in pairs for _ in range(2)])
        return {
            pair: (float(first), float(second))
            for pair, (first, second) in zip(pairs, values.reshape(-1, 2), strict=True)
        }
