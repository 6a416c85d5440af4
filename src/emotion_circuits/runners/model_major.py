"""A sequential runner that finishes with one model before it begins the next."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline.node import Node
    from pluggy import PluginManager

_MODEL: Final = "language_model"


class ModelMajorRunner(SequentialRunner):
    """Runs nodes one after the other, all of one namespace before those of the next.

    Kedro orders nodes breadth-first: every model's activations, then every model's vectors.
    A namespace is a model, and only one large model fits into memory, so this runner orders them
    depth-first. Dependencies are kept; the results are the same.
    """

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        super(SequentialRunner, self)._run(
            pipeline=ModelMajorPipeline(pipeline.nodes),
            catalog=catalog,
            hook_manager=hook_manager,
            run_id=run_id,
        )


class ModelMajorPipeline(Pipeline):
    """A pipeline whose node order finishes one namespace before it begins the next."""

    @cached_property
    def nodes(self) -> list[Node]:
        """All nodes, each after those it depends on."""
        return model_major_order(self)


def model_major_order(pipeline: Pipeline) -> list[Node]:
    """Order a pipeline's nodes so that each namespace is finished as early as it can be.

    Among the nodes that are ready, one of the namespace at work goes first, then one that leads
    to another use of its language model (as nodes of a pair of models do) without needing a
    second model, then one of no namespace, then the first of another namespace. Ties go by node
    name.

    Args:
        pipeline: Any pipeline.

    Returns:
        Its nodes, each after those it depends on.
    """
    waiting = {node: set(needed) for node, needed in pipeline.node_dependencies.items()}
    leading = _leading_to_models(pipeline)
    order: list[Node] = []
    at_work: str | None = None

    def rank(node: Node) -> tuple[bool, bool, bool]:
        own = f"{at_work}.{_MODEL}"
        needs_other = any(name.endswith(f".{_MODEL}") and name != own for name in node.inputs)
        leads = node in leading.get(own, ()) and not needs_other
        return node.namespace != at_work, not leads, node.namespace is not None

    while waiting:
        ready = sorted(node for node, needed in waiting.items() if not needed)
        chosen = min(ready, key=rank)
        if rank(chosen)[:2] == (True, True):  # what serves the model at work does not change it
            at_work = chosen.namespace or at_work
        order.append(chosen)
        del waiting[chosen]
        for needed in waiting.values():
            needed.discard(chosen)
    return order


def _leading_to_models(pipeline: Pipeline) -> dict[str, set[Node]]:
    """Give, for each language model, the nodes that read it or that such a node depends on."""
    needed_by = pipeline.node_dependencies
    found: dict[str, set[Node]] = {}
    for node in needed_by:
        for model in (name for name in node.inputs if name.endswith(f".{_MODEL}")):
            reached, open_ = found.setdefault(model, set()), [node]
            while open_:
                one = open_.pop()
                if one not in reached:
                    reached.add(one)
                    open_ += needed_by[one]
    return found
