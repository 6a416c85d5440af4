"""Logit lens of directions: the tokens whose logits a direction in the stream raises or lowers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.language_models import LanguageModel


@torch.no_grad()
def direction_logits(
    model: LanguageModel, directions: Float[Tensor, "direction d_model"]
) -> Float[Tensor, "direction vocab"]:
    """Return what each direction adds to the logits of a stream, relative to their mean.

    TransformerLens reads a stream through the final norm and the unembedding (``logit_readout``).
    A direction is a difference of streams and has no norm bias: its logits are half the difference
    between those of the vector and of its negative, which share the norm's divisor. The length of
    the direction does not matter; values are those of a stream along it whose entries have a mean
    square of 1.

    Args:
        model: The model.
        directions: Directions after the last layer, or after an earlier one as far as later layers
            are left out.

    Source: logit lens, nostalgebraist 2020.
    """
    from transformer_lens.tools.analysis import logit_readout  # takes seconds

    # A long vector, for which the epsilon of the norm is nothing.
    units = directions / directions.norm(dim=-1, keepdim=True)
    long = (1e3 * units).to(model.device, model.dtype)
    there, back = (logit_readout(model.bridge, sign * long).values.float() for sign in (1, -1))
    logits: Tensor = (there - back).cpu() / 2
    return logits - logits.mean(-1, keepdim=True)


def token_words(model: LanguageModel, tokens: list[int]) -> list[str]:
    """Return tokens as text, with a visible sign for spaces at their ends and for line breaks."""
    texts = [model.tokenizer.decode([token]) for token in tokens]
    return [text.replace("\n", "⏎").replace(" ", "␣") for text in texts]
