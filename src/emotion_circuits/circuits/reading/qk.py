"""QK of a head: how much a query at one stream attends to a key at another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits.reading.weights import AttentionWeights

# Scores that are held at a time: 64 MB in float32.
_SCORES: Final = 2**24


class TopScores(NamedTuple):
    """The largest entries of a table of two sets of tokens, in falling order.

    Attributes:
        rows: Index of each entry's row: the query token, or the token that is read.
        columns: Index of each entry's column: the key token, or the token that is written.
        values: The entries.
    """

    rows: Int[Tensor, " entry"]
    columns: Int[Tensor, " entry"]
    values: Float[Tensor, " entry"]


@torch.no_grad()
def query_vectors(
    weights: AttentionWeights, head: int, streams: Float[Tensor, "token d_model"], *, position: int
) -> Float[Tensor, "token d_head"]:
    """Return a head's queries of residual streams, rotated as at a position."""
    vectors = weights.normed(streams) @ weights.w_q[head] + weights.b_q[head]
    if weights.q_norm is not None:
        vectors = weights.q_norm(vectors)
    return vectors if weights.rotate is None else weights.rotate(vectors, position)


@torch.no_grad()
def key_vectors(
    weights: AttentionWeights, head: int, streams: Float[Tensor, "token d_model"], *, position: int
) -> Float[Tensor, "token d_head"]:
    """Return the keys that a query head reads of residual streams, rotated as at a position."""
    group = weights.group(head)
    vectors = weights.normed(streams) @ weights.w_k[group] + weights.b_k[group]
    if weights.k_norm is not None:
        vectors = weights.k_norm(vectors)
    return vectors if weights.rotate is None else weights.rotate(vectors, position)


def attention_scores(
    weights: AttentionWeights,
    head: int,
    queries: Float[Tensor, "query d_model"],
    keys: Float[Tensor, "key d_model"],
    *,
    distance: int = 0,
) -> Float[Tensor, "query key"]:
    """Return a head's scores before the softmax, as the model computes them for these streams.

    Every stream is normed at its own scale, biases and norms of queries and keys included. With
    rotary embeddings a score depends on the distance of the two positions; at distance 0, the
    default, it depends on the two contents alone. With learned positions the position is part of
    the stream, and the distance changes nothing.

    Args:
        weights: The layer's weights.
        head: Query head.
        queries: Residual streams at the head's layer that ask.
        keys: Residual streams that are asked about.
        distance: By how many positions the query stands after the key.

    Source: QK circuit, Elhage et al. 2021, A Mathematical Framework for Transformer Circuits.
    """
    q = query_vectors(weights, head, queries, position=distance)
    return _scores(weights, q, key_vectors(weights, head, keys, position=0))


def top_pairs(
    weights: AttentionWeights,
    head: int,
    queries: Float[Tensor, "query d_model"],
    keys: Float[Tensor, "key d_model"],
    *,
    n_top: int,
    distance: int = 0,
) -> TopScores:
    """Return the pairs of query and key whose score most exceeds the query's mean score.

    The softmax over keys ignores what is common to all scores of a query, so each query's mean over
    the keys is subtracted. Scores are held for a part of the queries at a time.
    """
    best = TopScores(torch.empty(0).long(), torch.empty(0).long(), torch.empty(0))
    for first, scores in _blocks(weights, head, queries, keys, distance):
        best = merge_top(best, scores - scores.mean(1, keepdim=True), first, n_top)
    return best


def mean_preferences(
    weights: AttentionWeights,
    head: int,
    queries: Float[Tensor, "query d_model"],
    keys: Float[Tensor, "key d_model"],
    *,
    distance: int = 0,
) -> Float[Tensor, " key"]:
    """Return by how much each key's score exceeds the mean over keys, on average over queries."""
    total = torch.zeros(len(keys), device=keys.device)
    for _, scores in _blocks(weights, head, queries, keys, distance):
        total += (scores - scores.mean(1, keepdim=True)).sum(0)
    return total / len(queries)


def merge_top(
    best: TopScores, block: Float[Tensor, "row column"], first: int, n_top: int
) -> TopScores:
    """Return the largest entries of those known and of a block of rows.

    Args:
        best: The largest entries of earlier rows.
        block: Entries of some rows.
        first: Index of the block's first row among all rows.
        n_top: Number of entries to keep.
    """
    values, flat = block.flatten().topk(min(n_top, block.numel()))
    rows = torch.cat([best.rows, flat.cpu() // block.shape[1] + first])
    columns = torch.cat([best.columns, flat.cpu() % block.shape[1]])
    merged = torch.cat([best.values, values.float().cpu()])
    order = merged.argsort(descending=True, stable=True)[:n_top]
    return TopScores(rows[order], columns[order], merged[order])


def _blocks(
    weights: AttentionWeights, head: int, queries: Tensor, keys: Tensor, distance: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield the index of a first query and the scores of some queries for all keys."""
    k = key_vectors(weights, head, keys, position=0)
    size = max(1, _SCORES // len(keys))
    for first in range(0, len(queries), size):
        q = query_vectors(weights, head, queries[first : first + size], position=distance)
        yield first, _scores(weights, q, k)


def _scores(weights: AttentionWeights, q: Tensor, k: Tensor) -> Float[Tensor, "query key"]:
    scores: Tensor = q @ k.T * weights.scale
    return scores if weights.cap is None else weights.cap * (scores / weights.cap).tanh()
