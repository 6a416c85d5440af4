"""A classifier that reads texts without their emotion words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float

from emotion_circuits.evaluation.classifier import TextClassifier
from emotion_circuits.evaluation.spec import MASKED
from emotion_circuits.prompts.lexicon import STEMS, pattern_of

_ALL_WORDS: Final = pattern_of(tuple(stem for stems in STEMS.values() for stem in stems))


class MaskedClassifier:
    """Scores of a classifier on texts whose emotion words are masked.

    What remains of an effect is expressed, and not only named: scores of texts full of keywords
    are known to fall on texts without them (arXiv:2604.23719).

    Attributes:
        name: The classifier's metric with ``_masked`` appended.
        keys: ``name/label`` for each label of the classifier.
    """

    def __init__(self, classifier: TextClassifier) -> None:
        """Share a classifier that is in memory."""
        self.name = classifier.name + MASKED
        self.keys = tuple(masked_key(key) for key in classifier.keys)
        self._classifier = classifier
        self._mask = classifier.tokenizer.mask_token or ""

    def score(
        self, texts: Sequence[str], batch_size: int
    ) -> tuple[Float[np.ndarray, "text label"], int]:
        """Score texts as the classifier does, each emotion word of the lexicon masked."""
        masked = [mask_words(text, self._mask) for text in texts]
        distinct = sorted(set(masked))
        place = {text: index for index, text in enumerate(distinct)}
        scores, n_cut = self._classifier.score(distinct, batch_size)
        return scores[[place[text] for text in masked]], n_cut


def mask_words(text: str, mask: str) -> str:
    """Put a mask in place of every word of the lexicon of emotions.

    Args:
        text: Any text.
        mask: The classifier's mask token; empty to leave the words out.
    """
    if mask:
        return _ALL_WORDS.sub(lambda _: mask, text)
    return " ".join(_ALL_WORDS.sub("", text).split()) if _ALL_WORDS.search(text) else text


def masked_key(key: str) -> str:
    """Return the key of the same label's score with emotion words masked."""
    metric, label = key.split("/", 1)
    return f"{metric}{MASKED}/{label}"
