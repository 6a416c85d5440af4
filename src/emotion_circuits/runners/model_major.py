"""A sequential runner that finishes one model before it starts the next."""

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

    Kedro orders nodes breadth-first: every model's activations, then every model's vectors. Each
    namespace is a model, and only one large model fits into memory, so this runner orders nodes
    depth-first. It respects all dependencies, so results do not change.
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
    """A pipeline whose node order finishes one namespace before it starts the next."""

    @cached_property
    def nodes(self) -> list[Node]:
        """All nodes, each after its dependencies."""
        return model_major_order(self)


def model_major_order(pipeline: Pipeline) -> list[Node]:
    """Order a pipeline's nodes so that each namespace is finished as early as possible.

    Among the nodes that are ready, the order of preference is: nodes of the current namespace;
    nodes on the way to another use of its language model that need no second model, such as nodes
    of a pair of models; nodes without a namespace; nodes of other namespaces. Ties are broken by
    node name.

    Args:
        pipeline: Any pipeline.

    Returns:
        The pipeline's nodes, each after its dependencies.
    """
    waiting = {node: set(needed) for node, needed in pipeline.node_dependencies.items()}
    leading = _leading_to_models(pipeline)
    order: list[Node] = []
    current: str | None = None

    def rank(node: Node) -> tuple[bool, bool, bool]:
        own = f"{current}.{_MODEL}"
        needs_other = any(name.endswith(f".{_MODEL}") and name != own for name in node.inputs)
        leads = node in leading.get(own, ()) and not needs_other
        return node.namespace != current, not leads, node.namespace is not None

    while waiting:
        ready = sorted(node for node, needed in waiting.items() if not needed)
        chosen = min(ready, key=rank)
        if rank(chosen)[:2] == (
            True,
            True,
        ):  # nodes for the current model keep its namespace current
            current = chosen.namespace or current
        order.append(chosen)
        del waiting[chosen]
        for needed in waiting.values():
            needed.discard(chosen)
    return order


def _leading_to_models(pipeline: Pipeline) -> dict[str, set[Node]]:
    """Return for each language model the nodes that read it, and all nodes they depend on."""
    needed_by = pipeline.node_dependencies
    leading: dict[str, set[Node]] = {}
    for reader in needed_by:
        for model in (name for name in reader.inputs if name.endswith(f".{_MODEL}")):
            reached, open_ = leading.setdefault(model, set()), [reader]
            while open_:
                node = open_.pop()
                if node not in reached:
                    reached.add(node)
                    open_ += needed_by[node]
    return leading
