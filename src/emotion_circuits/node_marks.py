"""Marks on the functions of nodes: what a run must see to before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from emotion_circuits.prompts.emotion_set import Need

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

_OPTIONAL = "takes_what_is_there"
_NEEDS = "needs_emotions"

F = TypeVar("F", bound=Callable[..., Any])


def takes_what_is_there(function: F) -> F:
    """Mark a node's function as one that gets None for each input that does not exist.

    Nothing is computed first for the sake of such a node. Where a run makes its inputs anyway,
    the node waits for them like any other.
    """
    setattr(function, _OPTIONAL, True)
    return function


def required_inputs(nodes: Iterable[Node]) -> set[str]:
    """Name the datasets that some node cannot do without; parameters always are."""
    return {
        name
        for node in nodes
        for name in node.inputs
        if name.startswith("params:") or not hasattr(node.func, _OPTIONAL)
    }


def needs_emotions(*needs: Need) -> Callable[[F], F]:
    """Mark a node's function as one that needs more of the study's emotions than their names.

    Args:
        needs: ``target_metrics``, ``marking_words`` or both. A run whose profile lacks them ends
            before anything is loaded.
    """

    def mark(function: F) -> F:
        setattr(function, _NEEDS, needs)
        return function

    return mark


def emotion_needs(nodes: Iterable[Node]) -> list[Need]:
    """Name what the nodes of a run need of the study's emotions."""
    found: dict[Need, None] = {}
    for node in nodes:
        found |= dict.fromkeys(getattr(node.func, _NEEDS, ()))
    return list(found)
