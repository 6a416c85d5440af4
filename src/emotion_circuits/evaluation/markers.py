"""Evaluator that counts words: the share of a text's words that name an emotion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float

from emotion_circuits.evaluation.spec import EvaluatorSpec
from emotion_circuits.prompts.lexicon import POLITENESS, STEMS, pattern_of

_WORD: Final = re.compile(r"\w+(?:'\w+)*")
LEXICON: Final = {**STEMS, "politeness": POLITENESS}


class MarkerCounter:
    """Share of words that mark each emotion, or politeness.

    Nothing is learned and nothing is read in context: "I am not angry" has one marker of anger.

    Attributes:
        name: The metric.
        keys: ``metric/label`` for each list of words.
    """

    def __init__(self, spec: EvaluatorSpec) -> None:
        """Compile the lists.

        Args:
            spec: ``words`` are the lists; without them, those of the lexicon.
        """
        lists = spec.words or LEXICON
        self.name = spec.name
        self.keys = tuple(f"{spec.name}/{label}" for label in lists)
        self._patterns = [pattern_of(stems) for stems in lists.values()]

    def score(
        self,
        texts: Sequence[str],
        batch_size: int,  # noqa: ARG002
    ) -> tuple[Float[np.ndarray, "text label"], int]:
        """Count.

        Args:
            texts: Any texts.
            batch_size: Without effect.

        Returns:
            Markers per word, 0 for a text without words; and 0, as no text is ever cut.
        """
        n_words = np.array([len(_WORD.findall(text)) for text in texts])
        counts = np.array(
            [[len(pattern.findall(text)) for pattern in self._patterns] for text in texts]
        ).reshape(len(texts), len(self.keys))
        return counts / np.maximum(n_words, 1)[:, None], 0
