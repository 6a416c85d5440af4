"""Settings of how texts are generated and scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emotion_circuits.interventions import Sampling


@dataclass(frozen=True)
class Decoding:
    """How an experiment generates and scores.

    Attributes:
        max_new_tokens: Largest number of new tokens; a text may end earlier.
        sampling: How tokens are drawn; None for greedy decoding.
        batch_rows: Rows generated at a time; ``auto`` takes as many as fit. Texts do not depend
            on it.
        batch_size: Texts scored at a time; scores depend on it by rounding only.
        score: Whether evaluators read the continuation alone or the prompt and the continuation.
    """

    max_new_tokens: int = 30
    sampling: Sampling | None = None
    batch_rows: int | Literal["auto"] = "auto"
    batch_size: int = 64
    score: Literal["continuation", "full_text"] = "continuation"

    def scored_text(self, prompt: str, text: str) -> str:
        """Return the text that evaluators read, without surrounding blanks."""
        return (prompt + text if self.score == "full_text" else text).strip()
