"""The circuit: the smallest set of nodes, in the order of scores, that is faithful enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from emotion_circuits.circuits.faithfulness import Verifier, recovered
from emotion_circuits.circuits.integrated_gradients import NodeScores
from emotion_circuits.circuits.nodes import Node

Order = Literal["absolute", "signed"]


def flat_scores(scores: NodeScores) -> Float[np.ndarray, "pair node"]:
    """Return the scores of heads and MLPs in the order of ``Graph.nodes``, without embeddings."""
    heads, mlps = scores.heads.double().numpy(), scores.mlps.double().numpy()
    flat: np.ndarray = np.concatenate([heads, mlps[:, :, None]], axis=2).reshape(len(heads), -1)
    return flat


def ranked(
    nodes: Sequence[Node], scores: Float[np.ndarray, " node"], order: Order = "absolute"
) -> list[Node]:
    """Sort nodes by score, the largest first; ties stay in the order of computation.

    Args:
        nodes: The nodes.
        scores: Score of each node.
        order: ``absolute`` ranks nodes that lower the target as high as those that raise it, as
            for CMD; ``signed`` puts them last, as for CPR.
    """
    keys = np.abs(scores) if order == "absolute" else scores
    return [nodes[index] for index in np.argsort(-keys, kind="stable")]


def smallest_faithful(
    verifier: Verifier, order: Sequence[Node], pairs: Sequence[int], *, threshold: float
) -> list[Node]:
    """Return the shortest beginning of an order whose faithfulness reaches a threshold.

    All sizes are run, since faithfulness need not rise with size: this is the exact verification
    of the scores by patching.

    Args:
        verifier: Runs circuits.
        order: All nodes, the most important first.
        pairs: Pairs on which faithfulness is measured.
        threshold: For example 0.9.
    """
    sizes = range(len(order) + 1)
    kept = verifier.keep([order[:size] for size in sizes], pairs)
    shares = recovered(kept, verifier.full[list(pairs)], verifier.empty[list(pairs)])
    reached = np.flatnonzero(shares >= threshold)
    return list(order[: reached[0]]) if len(reached) else list(order)


def pruned(
    verifier: Verifier, circuit: Sequence[Node], pairs: Sequence[int], *, threshold: float
) -> list[Node]:
    """Drop members that a circuit does not need, the least important first.

    One member after the other is left out, and stays out if the rest still reaches the threshold.
    Of two redundant members, one is therefore kept.

    Args:
        verifier: Runs circuits.
        circuit: Members, the most important first.
        pairs: Pairs on which faithfulness is measured.
        threshold: The faithfulness to keep.
    """
    full, empty = verifier.full[list(pairs)], verifier.empty[list(pairs)]
    kept = list(circuit)
    for member in reversed(circuit):
        rest = [node for node in kept if node != member]
        if recovered(verifier.keep([rest], pairs), full, empty)[0] >= threshold:
            kept = rest
    return kept
