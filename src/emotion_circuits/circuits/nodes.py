"""Nodes and edges of a model's computation graph, named as in the literature on EAP."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeVar, get_args

from emotion_circuits.errors import InputError

Kind = Literal["input", "head", "mlp", "logits"]
Port = Literal["q", "k", "v"]

_NODE = re.compile(r"a(0|[1-9]\d*)\.h(0|[1-9]\d*)|m(0|[1-9]\d*)", re.ASCII)
_EDGE = re.compile(r"([^<>\-]+)->([^<>\-]+?)(?:<([qkv])>)?", re.ASCII)


@dataclass(frozen=True)
class Node:
    """A component that reads from or writes to the residual stream.

    Attributes:
        kind: ``input`` (embeddings), ``head``, ``mlp`` or ``logits``.
        layer: Layer of a head or MLP, from 0; otherwise None.
        head: Query head within the layer, from 0; None for other kinds.
    """

    kind: Kind
    layer: int | None = None
    head: int | None = None

    def __post_init__(self) -> None:
        has = (self.layer is not None, self.head is not None)
        if has != (self.kind in ("head", "mlp"), self.kind == "head"):
            raise InputError(
                f"node of kind {self.kind!r} has layer {self.layer} and head {self.head}; "
                "allowed: a head has both, an mlp a layer, input and logits neither"
            )

    def __str__(self) -> str:
        if self.kind == "head":
            return f"a{self.layer}.h{self.head}"
        return f"m{self.layer}" if self.kind == "mlp" else self.kind


@dataclass(frozen=True)
class Edge:
    """What one node writes and another reads through the residual stream.

    Attributes:
        source: Node that writes.
        target: Node that reads.
        port: Input of a head, ``q``, ``k`` or ``v``; None for MLPs and logits.
    """

    source: Node
    target: Node
    port: Port | None = None

    def __post_init__(self) -> None:
        if (self.port is not None) != (self.target.kind == "head"):
            raise InputError(
                f"edge {self.source}->{self.target} has port {self.port}; "
                "allowed: q, k or v into a head, none into an mlp or logits"
            )

    def __str__(self) -> str:
        return f"{self.source}->{self.target}" + (f"<{self.port}>" if self.port else "")


# A node or an edge: what circuits are made of.
Part = TypeVar("Part", Node, Edge)


@dataclass(frozen=True)
class Graph:
    """The nodes and edges of a decoder.

    Attributes:
        n_layers: Number of layers.
        n_heads: Query heads per layer. With grouped key/value heads each query head keeps its own
            ``k`` and ``v`` ports, which read copies of its group's key and value.
        parallel: Whether attention and MLP of a layer read the same residual stream (GPT-NeoX);
            then no edge leads from a head to the MLP of its layer.
    """

    n_layers: int
    n_heads: int
    parallel: bool = False

    def nodes(self) -> list[Node]:
        """List all nodes in the order of computation, ``input`` first and ``logits`` last."""
        found = [Node("input")]
        for layer in range(self.n_layers):
            found += [Node("head", layer, head) for head in range(self.n_heads)]
            found.append(Node("mlp", layer))
        return [*found, Node("logits")]

    def edges(self) -> list[Edge]:
        """List all edges, ordered by target, then source, then port (q, k, v)."""
        nodes = self.nodes()
        return [
            Edge(source, target, port)
            for target in nodes
            for source in nodes
            if self._reaches(source, target)
            for port in (get_args(Port) if target.kind == "head" else (None,))
        ]

    def node(self, name: str) -> Node:
        """Parse a node's name.

        Raises:
            InputError: If the model has no such node.
        """
        node = _parse(name)
        if node is None or not self._holds(node):
            raise self._unknown("node", name, [str(known) for known in self.nodes()])
        return node

    def edge(self, name: str) -> Edge:
        """Parse an edge's name, for example ``a0.h1->a2.h3<q>``.

        Raises:
            InputError: If the model lacks one of the nodes, or no edge joins them.
        """
        match = _EDGE.fullmatch(name)
        if match is None:
            raise self._unknown("edge", name, [str(known) for known in self.edges()])
        source, target = self.node(match[1]), self.node(match[2])
        fits = (match[3] is not None) == (target.kind == "head")
        if not fits or not self._reaches(source, target):
            raise self._unknown("edge", name, [str(known) for known in self.edges()])
        return Edge(source, target, next((p for p in get_args(Port) if p == match[3]), None))

    def _holds(self, node: Node) -> bool:
        return (node.layer or 0) < self.n_layers and (node.head or 0) < self.n_heads

    def _reaches(self, source: Node, target: Node) -> bool:
        if source.kind == "logits" or target.kind == "input":
            return False
        if source.kind == "input" or target.kind == "logits":
            return True
        before, after = source.layer or 0, target.layer or 0
        same_layer = source.kind == "head" and target.kind == "mlp" and not self.parallel
        return before < after or (before == after and same_layer)

    def _unknown(self, what: str, name: str, known: list[str]) -> InputError:
        message = (
            f"{what} {name!r} is not in the model; known nodes: input, "
            f"a0.h0 to a{self.n_layers - 1}.h{self.n_heads - 1}, "
            f"m0 to m{self.n_layers - 1}, logits"
        )
        nearest = get_close_matches(name, known, n=1, cutoff=0.5)
        return InputError(f"{message}; nearest: {nearest[0]}" if nearest else message)


def _parse(name: str) -> Node | None:
    if name == "input" or name == "logits":
        return Node("input") if name == "input" else Node("logits")
    match = _NODE.fullmatch(name)
    if match is None:
        return None
    if match[3] is not None:
        return Node("mlp", int(match[3]))
    return Node("head", int(match[1]), int(match[2]))
