"""A circuit as a graph of networkx, and as GraphML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import pandas as pd

from emotion_circuits.circuits.nodes import Graph


def circuit_graph(
    graph: Graph, members: Mapping[str, Sequence[Mapping[str, Any]]], edges: pd.DataFrame
) -> nx.MultiDiGraph:
    """Build the graph of all emotions' circuits.

    Args:
        graph: The model's graph.
        members: For each emotion, lines with ``node`` and ``score``.
        edges: Lines of the table of edges that lie within the circuits.

    Returns:
        Nodes with ``kind``, ``layer``, ``head`` and for each emotion that has the node
        ``score_<emotion>``; edges with ``emotion``, ``port`` and ``score``.
    """
    made = nx.MultiDiGraph()
    for name in ("input", "logits"):
        made.add_node(name, kind=name)
    for emotion, lines in members.items():
        for line in lines:
            node = graph.node(line["node"])
            values = {"kind": node.kind, "layer": node.layer, "head": node.head}
            made.add_node(str(node), **{k: v for k, v in values.items() if v is not None})
            made.nodes[str(node)][f"score_{emotion}"] = float(line["score"])
    for edge in edges.to_dict("records"):
        made.add_edge(
            edge["source"],
            edge["target"],
            key=f"{edge['emotion']} {edge['port']}".strip(),
            emotion=edge["emotion"],
            port=edge["port"],
            score=float(edge["score"]),
        )
    return made


def graphml(graph: nx.MultiDiGraph) -> str:
    """Write a graph as GraphML."""
    return "\n".join(nx.generate_graphml(graph)) + "\n"
