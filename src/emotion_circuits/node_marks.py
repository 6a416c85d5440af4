"""Marks on node functions: which inputs are optional, what to check first, what never is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from emotion_circuits.prompts.emotion_set import Need

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

_OPTIONAL = "takes_what_is_there"
_NEEDS = "needs_emotions"
_READS_MORE = "reads_more_than_its_inputs"

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
        if name.startswith("params:") or not is_content_with_less(node)
    }


def is_content_with_less(node: Node) -> bool:
    """Return whether a node gets None for each input that does not exist."""
    return hasattr(node.func, _OPTIONAL)


def reads_more_than_its_inputs(function: F) -> F:
    """Mark a node's function as one that reads files which only its parameters name.

    What it makes is never kept for the next run, which cannot know whether the files changed.
    """
    setattr(function, _READS_MORE, True)
    return function


def is_never_kept(node: Node) -> bool:
    """Return whether a node's function is marked by ``reads_more_than_its_inputs``."""
    return hasattr(node.func, _READS_MORE)


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
