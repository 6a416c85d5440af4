"""Where each edge of a model stands in a matrix of sources and readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from emotion_circuits.circuits.edge_gradients import PORTS
from emotion_circuits.circuits.nodes import Edge, Graph, Node
from emotion_circuits.language_models import LanguageModel


class EdgePlaces(NamedTuple):
    """Rows and columns of edges.

    Sources are ordered as ``Graph.nodes`` without ``logits``. Readers are, for each layer, the
    queries of all heads, their keys, their values, and the MLP; then the logits.

    Attributes:
        sources: Index of each edge's source, in the order of ``Graph.edges``.
        readers: Index of what each edge's target reads with.
        n_sources: Number of sources.
        n_readers: Number of readers.
    """

    sources: Sequence[int]
    readers: Sequence[int]
    n_sources: int
    n_readers: int


def graph_of(model: LanguageModel) -> Graph:
    """Return the graph of a model's nodes and edges."""
    parallel = bool(getattr(model.bridge.cfg, "parallel_attn_mlp", False))
    return Graph(model.n_layers, model.n_heads, parallel=parallel)


def edge_places(graph: Graph) -> EdgePlaces:
    """Return the places of all edges of a graph."""
    edges = graph.edges()
    return EdgePlaces(
        [_source(graph, edge.source) for edge in edges],
        [_reader(graph, edge) for edge in edges],
        len(graph.nodes()) - 1,
        graph.n_layers * (3 * graph.n_heads + 1) + 1,
    )


def _source(graph: Graph, node: Node) -> int:
    if node.layer is None:
        return 0
    place = graph.n_heads if node.head is None else node.head
    return 1 + node.layer * (graph.n_heads + 1) + place


def _reader(graph: Graph, edge: Edge) -> int:
    node, n_heads = edge.target, graph.n_heads
    if node.layer is None:
        return graph.n_layers * (3 * n_heads + 1)
    first = node.layer * (3 * n_heads + 1)
    if edge.port is None:
        return first + 3 * n_heads
    assert node.head is not None
    return first + PORTS.index(edge.port) * n_heads + node.head
