"""Marks on node functions that tell a run which inputs are optional and what to check first."""

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

    A run never computes missing inputs for such a node. If the run produces them for another
    reason, the node waits for them like any other node.
    """
    setattr(function, _OPTIONAL, True)
    return function


def required_inputs(nodes: Iterable[Node]) -> set[str]:
    """Return the datasets that at least one node requires; parameters are always required."""
    return {
        name
        for node in nodes
        for name in node.inputs
        if name.startswith("params:") or not hasattr(node.func, _OPTIONAL)
    }


def needs_emotions(*needs: Need) -> Callable[[F], F]:
    """Mark a node's function as one that needs more of the study's emotions than their names.

    Args:
        needs: ``target_metrics``, ``marking_words`` or both. A run whose profile lacks them stops
            before it loads anything.
    """

    def mark(function: F) -> F:
        setattr(function, _NEEDS, needs)
        return function

    return mark


def emotion_needs(nodes: Iterable[Node]) -> list[Need]:
    """Return the distinct needs of all nodes, as marked by ``needs_emotions``."""
    needs: dict[Need, None] = {}
    for node in nodes:
        needs |= dict.fromkeys(getattr(node.func, _NEEDS, ()))
    return list(needs)


def phase_and_model(node: Node) -> tuple[str, str]:
    """Return a node's phase (its only tag) and its model or pair (its namespace); '' for none."""
    return next(iter(sorted(node.tags)), ""), node.namespace or ""
