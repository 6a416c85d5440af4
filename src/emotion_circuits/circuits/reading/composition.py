"""Composition between heads: how much one head reads, by its weights, of what another writes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits.nodes import Port
from emotion_circuits.circuits.norms import fold_input, gain
from emotion_circuits.circuits.reading.ov import ov_factors
from emotion_circuits.circuits.reading.weights import AttentionWeights

# A matrix [d_model, d_model] of low rank as the product of its parts.
_Factors = tuple[Tensor, Tensor]


@torch.no_grad()
def composition_scores(
    layers: Sequence[AttentionWeights], port: Port
) -> Float[Tensor, "source_layer source_head layer head"]:
    """Return how much each head's input at a port reads of what each earlier head writes.

    The score is ‖A B‖ / (‖A‖ ‖B‖) in Frobenius norms, with A the source's OV and B the target's QK
    from the side of its queries (``q``) or keys (``k``), or its OV (``v``). The norm before
    attention, norms of queries and keys and the norm after the projection are folded in by their
    gains. Rotation is left out: the score is for a query and a key at one position. MLPs between
    the heads are left out too.

    For two heads whose weights have nothing to do with each other the mean square of the score is
    1 / d_model (see ``chance_score``).

    Args:
        layers: Weights of all layers, in order.
        port: Input of the later head.

    Returns:
        Scores from 0 to 1; NaN where the source is not in an earlier layer, and 0 for a head whose
        weights are zero.

    Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits. TransformerLens
    has the same score of weights without norms (``all_composition_scores``), for all heads at once.
    """
    n_layers, n_heads = len(layers), layers[0].n_heads
    scores = torch.full((n_layers, n_heads, n_layers, n_heads), float("nan"))
    writes = [_narrow([ov_factors(item, head) for head in range(n_heads)]) for item in layers]
    for target, item in enumerate(layers):
        wide = [_reader(item, head, port) for head in range(n_heads)]
        reads = _narrow([(right.T, left.T) for left, right in wide]).mT
        sizes = reads.flatten(1).norm(dim=1)
        for source in range(target):
            products = torch.einsum("sam,tmb->stab", writes[source], reads).flatten(2).norm(dim=2)
            lengths = writes[source].flatten(1).norm(dim=1)
            # A head whose weights are zero composes with none.
            whole = (lengths[:, None] * sizes).clamp(min=torch.finfo(products.dtype).tiny)
            scores[source, :, target] = (products / whole).cpu()
    return scores


def chance_score(d_model: int) -> float:
    """Return the root mean square of a score where one head's weights are rotated at random.

    For a uniform rotation R, E ‖A R B‖² = ‖A‖² ‖B‖² / d_model.
    """
    return float(d_model**-0.5)


def _reader(weights: AttentionWeights, head: int, port: Port) -> _Factors:
    """Return the matrix that reads a stream at a port, as its factors."""
    if port == "v":
        return ov_factors(weights, head)
    q = fold_input(weights.norm, weights.w_q[head])
    k = fold_input(weights.norm, weights.w_k[weights.group(head)])
    for norm in (weights.q_norm, weights.k_norm):
        if norm is not None:
            q = q * gain(norm, q.shape[1])
    return (q, k.T) if port == "q" else (k, q.T)


def _narrow(factors: Sequence[_Factors]) -> Float[Tensor, "head d_head d_model"]:
    """Return matrices with d_head rows whose products have the norms of products of the wide ones.

    A wide matrix is A B = Q R B with orthonormal Q, which changes no norm.
    """
    return torch.stack([torch.linalg.qr(left).R @ right for left, right in factors])
