"""How texts are generated, and what of them is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emotion_circuits.interventions import Sampling


@dataclass(frozen=True)
class Decoding:
    """How an experiment generates and scores.

    Attributes:
        max_new_tokens: A text ends earlier where the model ends it.
        sampling: None for greedy decoding.
        batch_rows: Rows generated at a time; ``auto`` takes as many as fit. No text depends on it.
        batch_size: Texts scored at a time; scores depend on it by no more than rounding.
        score: Whether evaluators read the continuation alone or the prompt before it, too.
    """

    max_new_tokens: int = 30
    sampling: Sampling | None = None
    batch_rows: int | Literal["auto"] = "auto"
    batch_size: int = 64
    score: Literal["continuation", "full_text"] = "continuation"

    def scored_text(self, prompt: str, text: str) -> str:
        """Give what evaluators read, without the blank that joins a continuation to its prompt."""
        return (prompt + text if self.score == "full_text" else text).strip()
