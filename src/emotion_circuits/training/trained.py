"""A trained model with its tokenizer and training record."""

from __future__ import annotations

from typing import Any, NamedTuple

import transformers


class Trained(NamedTuple):
    """A trained model.

    Attributes:
        model: The model in evaluation mode.
        tokenizer: The model's tokenizer.
        record: Name, settings and curve of the training, as plain data for JSON.
    """

    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerFast
    record: dict[str, Any]
