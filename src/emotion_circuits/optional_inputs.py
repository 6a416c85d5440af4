"""Nodes that work with those of their inputs that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

_MARK = "takes_what_is_there"

F = TypeVar("F", bound=Callable[..., Any])


def takes_what_is_there(function: F) -> F:
    """Mark a node's function as one that gets None for each input that does not exist.

    Nothing is computed first for the sake of such a node. Where a run makes its inputs anyway,
    the node waits for them like any other.
    """
    setattr(function, _MARK, True)
    return function


def required_inputs(nodes: Iterable[Node]) -> set[str]:
    """Name the datasets that some node cannot do without; parameters always are."""
    return {
        name
        for node in nodes
        for name in node.inputs
        if name.startswith("params:") or not hasattr(node.func, _MARK)
    }
