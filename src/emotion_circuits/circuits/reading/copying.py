"""Copying: whether a head that attends to a token raises that token's own logit."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits.reading.ov import values_and_logits
from emotion_circuits.circuits.reading.weights import AttentionWeights

_BLOCK = 256


class Copying(NamedTuple):
    """How far a head copies tokens.

    Attributes:
        eigenvalues: Sum of the eigenvalues of the map from tokens that are read to logits, divided
            by the sum of their sizes: 1 if the head raises what it reads, −1 if it lowers it.
        top: Share of tokens whose own logit is among the ``n_top`` that the head raises most.
        chance: ``top`` of a head that raises tokens at random.
    """

    eigenvalues: float
    top: float
    chance: float


@torch.no_grad()
def copying(
    weights: AttentionWeights,
    head: int,
    streams: Float[Tensor, "token d_model"],
    tokens: Int[Tensor, " token"],
    unembed: Float[Tensor, "d_model vocab"],
    *,
    n_top: int = 5,
) -> Copying:
    """Score how far a head copies tokens.

    What is written for a token counts against the mean over ``tokens``, so that what a head writes
    whatever it reads is left out of both scores.

    Args:
        weights: The layer's weights.
        head: Query head.
        streams: Stream of each token.
        tokens: Distinct token ids.
        unembed: Result of ``ov.unembedding``.
        n_top: Number of most raised tokens, among the whole vocabulary.

    Source: eigenvalues, Elhage et al. 2021, A Mathematical Framework for Transformer Circuits;
    share of top tokens, Wang et al. 2022, arXiv:2211.00593.
    """
    tokens = tokens.to(unembed.device)
    values, written = values_and_logits(weights, head, streams, unembed)
    values = values - values.mean(0)
    # The map [token, token] has the eigenvalues of this small one, and zeros.
    small = written[:, tokens] @ values
    own = torch.linalg.eigvals(small.double().cpu())
    size = float(own.abs().sum())
    hits = 0
    for first in range(0, len(tokens), _BLOCK):
        part = slice(first, first + _BLOCK)
        top = (values[part] @ written).topk(n_top).indices
        hits += int((top == tokens[part, None]).any(1).sum())
    return Copying(
        float(own.real.sum()) / size if size else float("nan"),
        hits / len(tokens),
        n_top / unembed.shape[1],
    )
