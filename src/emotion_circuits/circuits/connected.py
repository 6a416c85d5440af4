"""The connected part of a circuit of edges."""

from __future__ import annotations

from collections.abc import Collection

from emotion_circuits.circuits.nodes import Edge, Node


def connected(circuit: Collection[Edge]) -> list[Edge]:
    """Return the edges that lie on a way from ``input`` to ``logits`` within the circuit.

    With resampling between prompts of equal length, the other edges do nothing: without a way from
    the input, a node writes what it writes on the partner.

    Args:
        circuit: Edges, in any order.

    Returns:
        The edges that remain, in the circuit's order.

    Source: dead ends are removed in ACDC, Conmy et al. 2023, arXiv:2304.14997, and in MIB.
    """
    by_target = sorted(circuit, key=lambda edge: _time(edge.target))
    reached = {Node("input")}
    for edge in by_target:  # all edges into a node come before those out of it
        if edge.source in reached:
            reached.add(edge.target)
    reaching = {Node("logits")}
    for edge in sorted(circuit, key=lambda edge: _time(edge.source), reverse=True):
        if edge.target in reaching:
            reaching.add(edge.source)
    return [edge for edge in circuit if edge.source in reached and edge.target in reaching]


def _time(node: Node) -> tuple[float, bool]:
    """Return when a node computes: heads of a layer together, then its MLP."""
    if node.layer is None:
        return (-1.0 if node.kind == "input" else float("inf"), False)
    return float(node.layer), node.kind == "mlp"
