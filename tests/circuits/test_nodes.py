"""Names and enumeration of the nodes and edges of a model."""

from __future__ import annotations

import pytest

from emotion_circuits.circuits.nodes import Edge, Graph, Node
from emotion_circuits.errors import InputError


def edge_count(layers: int, heads: int, *, parallel: bool) -> int:
    """Count edges by walking the layers and counting who wrote before."""
    written, total = 1, 0
    for _ in range(layers):
        total += 3 * heads * written
        total += written + (0 if parallel else heads)
        written += heads + 1
    return total + written


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 4), (3, 2)])
def test_number_of_edges(layers: int, heads: int, parallel: bool) -> None:
    graph = Graph(layers, heads, parallel)
    edges = graph.edges()
    assert len(set(edges)) == len(edges) == edge_count(layers, heads, parallel=parallel)
    assert len(graph.nodes()) == layers * (heads + 1) + 2


def test_gpt2_small_has_the_edges_of_the_literature() -> None:
    assert len(Graph(12, 12).edges()) == 32491


def test_names_are_parsed_back() -> None:
    graph = Graph(3, 4)
    assert [graph.node(str(node)) for node in graph.nodes()] == graph.nodes()
    assert [graph.edge(str(edge)) for edge in graph.edges()] == graph.edges()
    assert str(Edge(Node("head", 0, 1), Node("head", 2, 3), "q")) == "a0.h1->a2.h3<q>"


def test_parallel_blocks_have_no_edge_from_head_to_mlp_of_the_layer() -> None:
    assert str(Graph(1, 1).edge("a0.h0->m0")) == "a0.h0->m0"
    with pytest.raises(InputError, match="is not in the model"):
        Graph(1, 1, parallel=True).edge("a0.h0->m0")


@pytest.mark.parametrize("name", ["a2.h9", "m3", "a02.h1", "mlp1", "", "a1"])
def test_missing_nodes_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"known nodes: input, a0\.h0 to a2\.h3"):
        Graph(3, 4).node(name)


def test_nearest_name_is_given() -> None:
    with pytest.raises(InputError, match=r"nearest: a1\.h\d"):
        Graph(3, 4).node("a1.h9")


@pytest.mark.parametrize(
    "name", ["a1.h0->a0.h0<q>", "a0.h0->a1.h0", "a0.h0->m1<v>", "m0->input", "logits->m0", "m0"]
)
def test_edges_that_do_not_exist_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"edge {name!r} is not in the model"):
        Graph(3, 4).edge(name)


def test_parts_that_do_not_fit_the_kind_are_refused() -> None:
    with pytest.raises(InputError, match="allowed: a head has both"):
        Node("head", 1)
    with pytest.raises(InputError, match="allowed: q, k or v into a head"):
        Edge(Node("input"), Node("mlp", 0), "q")
