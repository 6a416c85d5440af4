"""OV of a head: what it writes to the residual stream, and to the logits, for a stream it reads."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits.norms import final_norm, fold_input
from emotion_circuits.circuits.reading.qk import TopScores, merge_top
from emotion_circuits.circuits.reading.weights import AttentionWeights
from emotion_circuits.language_models import LanguageModel

# Logits that are held at a time: 64 MB in float32.
_LOGITS: Final = 2**24


@torch.no_grad()
def head_values(
    weights: AttentionWeights, head: int, streams: Float[Tensor, "token d_model"]
) -> Float[Tensor, "token d_model"]:
    """Return what a head writes if it attends to one stream alone.

    The write is norm(x) W_V W_O, with the bias of the values and without that of the output
    projection, which belongs to no head. A norm after the projection (Gemma 3) contributes its
    gain; its divisor is left out, so writes are known up to a positive factor there.

    Source: OV circuit, Elhage et al. 2021, A Mathematical Framework for Transformer Circuits.
    """
    written: Tensor = _values(weights, head, streams) @ weights.w_o[head] * weights.write_gain
    return written


def _values(weights: AttentionWeights, head: int, streams: Tensor) -> Float[Tensor, "token d_head"]:
    group = weights.group(head)
    values: Tensor = weights.normed(streams) @ weights.w_v[group] + weights.b_v[group]
    return values


def values_and_logits(
    weights: AttentionWeights,
    head: int,
    streams: Float[Tensor, "token d_model"],
    unembed: Float[Tensor, "d_model vocab"],
) -> tuple[Float[Tensor, "token d_head"], Float[Tensor, "d_head vocab"]]:
    """Return the factors of a head's logits for each stream: its values, and what they write.

    Their product is ``head_values`` times ``unembed``, and costs d_head / d_model of it.
    """
    return (
        _values(weights, head, streams),
        (weights.w_o[head] * weights.write_gain) @ unembed,
    )


def ov_factors(
    weights: AttentionWeights, head: int
) -> tuple[Float[Tensor, "d_model d_head"], Float[Tensor, "d_head d_model"]]:
    """Return the factors of a head's linear map from stream to write, with norms folded in.

    Their product V O satisfies: the head's write for a stream x is x V O / σ(x) and a constant,
    where σ is the divisor of the norm before attention.
    """
    read = fold_input(weights.norm, weights.w_v[weights.group(head)])
    return read, weights.w_o[head] * weights.write_gain


def unembedding(model: LanguageModel) -> Float[Tensor, "d_model vocab"]:
    """Return W_U with the final norm folded in, and the mean over tokens subtracted.

    Logits of a write are the write times this matrix, up to the positive factor 1 / σ of the final
    norm. The softmax ignores what is common to all tokens.
    """
    folded = fold_input(final_norm(model), model.bridge.W_U.detach())
    return folded - folded.mean(1, keepdim=True)


@torch.no_grad()
def top_writes(
    weights: AttentionWeights,
    head: int,
    streams: Float[Tensor, "token d_model"],
    unembed: Float[Tensor, "d_model vocab"],
    *,
    n_top: int,
) -> TopScores:
    """Return the pairs of a token that is read and a token whose logit the head then raises most.

    Args:
        weights: The layer's weights.
        head: Query head.
        streams: Stream of each token that may be read.
        unembed: The result of ``unembedding``.
        n_top: Number of pairs.
    """
    best = TopScores(torch.empty(0).long(), torch.empty(0).long(), torch.empty(0))
    values, written = values_and_logits(weights, head, streams, unembed)
    size = max(1, _LOGITS // unembed.shape[1])
    for first in range(0, len(streams), size):
        best = merge_top(best, values[first : first + size] @ written, first, n_top)
    return best


def mean_write(
    weights: AttentionWeights,
    head: int,
    streams: Float[Tensor, "token d_model"],
    direction: Float[Tensor, " d_model"],
) -> Float[Tensor, " token"]:
    """Return each stream's write along a direction's unit vector, minus the mean over streams."""
    along: Tensor = head_values(weights, head, streams) @ (direction / direction.norm())
    return along - along.mean()


def direction_gain(
    weights: AttentionWeights, head: int, directions: Float[Tensor, "direction d_model"]
) -> Float[Tensor, " direction"]:
    """Return by how much a head writes along each direction what it reads along it.

    A stream that grows by u, a direction's unit vector, lets a head that attends to it write
    u V O·u / σ more along u. The result leaves out σ, the divisor of the norm before attention: 1
    means that the head copies the component in units of the normed stream.
    """
    read, write = ov_factors(weights, head)
    units = directions / directions.norm(dim=-1, keepdim=True)
    copied: Tensor = ((units @ read) * (units @ write.T)).sum(-1)
    return copied


def random_gain(weights: AttentionWeights, head: int) -> tuple[float, float]:
    """Return mean and standard deviation of ``direction_gain`` for random directions.

    For a direction that is uniform on the sphere in d dimensions and a matrix M, u·Mu has the mean
    tr M / d and the variance 2 (‖S‖² − (tr M)² / d) / (d (d + 2)), with the symmetric part S of M.
    """
    read, write = ov_factors(weights, head)
    d = read.shape[0]
    trace = float((write @ read).trace())
    # ‖S‖² = (‖M‖² + tr M²) / 2, from products of the narrow factors.
    norm = float(((read.T @ read) * (write @ write.T)).sum())
    cross = write @ read
    square = (norm + float((cross * cross.T).sum())) / 2
    variance = 2 * max(square - trace**2 / d, 0.0) / (d * (d + 2))
    return trace / d, variance**0.5
