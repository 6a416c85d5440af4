"""A trained model with its tokenizer and training record."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerFast


class Trained(NamedTuple):
    """A trained model.

    Attributes:
        model: The model in evaluation mode.
        tokenizer: The model's tokenizer.
        record: Name, settings and curve of the training, as plain data for JSON.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    record: dict[str, Any]
