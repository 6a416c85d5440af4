"""The table of edges of one emotion."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from emotion_circuits.circuits.nodes import Edge, Node
from emotion_circuits.pipelines.circuits.discovery import Discovery
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.statistics.ratios import mean_interval


def edge_table(discovery: Discovery, edges: list[Edge], circuit: Collection[Node]) -> pd.DataFrame:
    """List the edges with the largest scores, and all those within the circuit.

    Args:
        discovery: One emotion's scores.
        edges: All edges, in the order of the scores.
        circuit: Nodes of the circuit; ``input`` and ``logits`` belong to every circuit.

    Returns:
        ``emotion``, ``edge``, ``source``, ``target``, ``port``, ``score`` in nats with its 95 %
        interval over clusters, ``score_A`` and ``score_B`` (the halves), ``rank`` by absolute
        score among all edges, ``in_circuit`` (both ends are in the circuit).
    """
    settings = discovery.settings
    scores = discovery.attribution.edges.double().numpy()
    means = scores.mean(0)
    order = np.argsort(-np.abs(means), kind="stable")
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(1, len(order) + 1)
    limit = len(order) if settings.max_edges is None else settings.max_edges
    listed = order[:limit]
    value, lower, upper = mean_interval(
        scores[:, listed].T,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        clusters=discovery.clusters,
    )
    chosen = [edges[index] for index in listed]
    return pd.DataFrame(
        {
            "emotion": discovery.emotion,
            "edge": list(map(str, chosen)),
            "source": [str(edge.source) for edge in chosen],
            "target": [str(edge.target) for edge in chosen],
            "port": [edge.port or "" for edge in chosen],
            "score": value,
            "ci_lower": lower,
            "ci_upper": upper,
            **{
                f"score_{half}": scores[discovery.of_half(half)][:, listed].mean(0)
                for half in PAIR_HALVES
            },
            "rank": rank[listed],
            "in_circuit": [_within(edge, circuit) for edge in chosen],
        }
    )


def _within(edge: Edge, circuit: Collection[Node]) -> bool:
    return all(node.layer is None or node in circuit for node in (edge.source, edge.target))
