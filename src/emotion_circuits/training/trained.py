"""A trained model with all that belongs to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerFast


class Trained(NamedTuple):
    """A trained model.

    Attributes:
        model: In evaluation mode.
        tokenizer: Its tokenizer.
        record: How it was trained: plain data for JSON.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    record: dict[str, Any]
