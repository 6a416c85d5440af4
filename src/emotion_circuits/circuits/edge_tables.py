"""The table of edges of one emotion."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.circuits.nodes import Edge, Node
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.statistics.ratios import mean_interval


def edge_table(
    edges: Sequence[Edge],
    scores: Float[np.ndarray, "pair edge"],
    circuit: Collection[Node],
    *,
    halves: np.ndarray,
    clusters: Sequence[str],
    limit: int | None,
    n_bootstrap: int,
    seed: int,
) -> pd.DataFrame:
    """List the edges with the largest scores, and all those within the circuit.

    Args:
        edges: All edges.
        scores: Their scores on each pair.
        circuit: Nodes of the circuit; ``input`` and ``logits`` belong to every circuit.
        halves: Half of each pair.
        clusters: Cluster of each pair.
        limit: Number of edges to list; None for all.
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        ``edge``, ``source``, ``target``, ``port``, ``score`` in nats with its 95 %
        interval over clusters, ``score_A`` and ``score_B`` (the halves), ``rank`` by absolute
        score among all edges, ``in_circuit`` (both ends are in the circuit).
    """
    means = scores.mean(0)
    order = np.argsort(-np.abs(means), kind="stable")
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(1, len(order) + 1)
    listed = order[:limit]
    value, lower, upper = mean_interval(
        scores[:, listed].T,
        n_bootstrap=n_bootstrap,
        seed=seed,
        clusters=clusters,
    )
    chosen = [edges[index] for index in listed]
    return pd.DataFrame(
        {
            "edge": list(map(str, chosen)),
            "source": [str(edge.source) for edge in chosen],
            "target": [str(edge.target) for edge in chosen],
            "port": [edge.port or "" for edge in chosen],
            "score": value,
            "ci_lower": lower,
            "ci_upper": upper,
            **{f"score_{half}": scores[halves == half][:, listed].mean(0) for half in PAIR_HALVES},
            "rank": rank[listed],
            "in_circuit": [_within(edge, circuit) for edge in chosen],
        }
    )


def _within(edge: Edge, circuit: Collection[Node]) -> bool:
    return all(node.layer is None or node in circuit for node in (edge.source, edge.target))
