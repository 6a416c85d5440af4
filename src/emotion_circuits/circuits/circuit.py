"""The circuit: the smallest set of nodes, in the order of scores, that is faithful enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from emotion_circuits.circuits.faithfulness import CircuitRuns, recovered, sizes_to_try
from emotion_circuits.circuits.integrated_gradients import NodeScores
from emotion_circuits.circuits.nodes import Part

Order = Literal["absolute", "signed"]


def flat_scores(scores: NodeScores) -> Float[np.ndarray, "pair node"]:
    """Return the scores of heads and MLPs in the order of ``Graph.nodes``, without embeddings."""
    heads, mlps = scores.heads.double().numpy(), scores.mlps.double().numpy()
    flat: np.ndarray = np.concatenate([heads, mlps[:, :, None]], axis=2).reshape(len(heads), -1)
    return flat


def ranked(
    parts: Sequence[Part], scores: Float[np.ndarray, " part"], order: Order = "absolute"
) -> list[Part]:
    """Sort nodes or edges by score, the largest first; ties stay in the order of computation.

    Args:
        parts: The nodes or edges, in the order of computation.
        scores: Score of each.
        order: ``absolute`` ranks parts that lower the target as high as those that raise it, as
            for CMD; ``signed`` puts them last, as for CPR.
    """
    keys = np.abs(scores) if order == "absolute" else scores
    return [parts[index] for index in np.argsort(-keys, kind="stable")]


@dataclass(frozen=True)
class Criterion:
    """What a set of nodes must do to be a circuit.

    Attributes:
        least: Smallest faithfulness, such as 0.9.
        most: Largest faithfulness, such as 1.1, so that nodes that lower the target belong to the
            circuit too; None for no limit.
        gap: Largest difference between what is left of the change if a member is lost from the
            circuit, and if it is lost from the whole model, such as 0.1. A member with a backup
            outside the circuit exceeds it, so that redundant nodes all belong to the circuit; None
            for no limit.

    Source of ``gap``: completeness with subsets of one node, Wang et al. 2022, arXiv:2211.00593.
    """

    least: float = 0.9
    most: float | None = None
    gap: float | None = None

    def faithful(
        self, verifier: CircuitRuns[Part], circuits: Sequence[Sequence[Part]], pairs: Sequence[int]
    ) -> Bool[np.ndarray, " circuit"]:
        """Return which circuits are faithful on some pairs."""
        shares = _shares(verifier, verifier.keep(circuits, pairs), pairs)
        met: np.ndarray = shares >= self.least
        return met if self.most is None else met & (shares <= self.most)

    def complete(
        self, verifier: CircuitRuns[Part], circuit: Sequence[Part], pairs: Sequence[int]
    ) -> bool:
        """Return whether no member of a circuit has a backup outside it."""
        if self.gap is None or not circuit:
            return True
        without = verifier.keep([[n for n in circuit if n != lost] for lost in circuit], pairs)
        in_model = verifier.remove([[lost] for lost in circuit], pairs)
        gaps = _shares(verifier, without, pairs) - _shares(verifier, in_model, pairs)
        return bool((np.abs(gaps) <= self.gap).all())


def _shares(
    verifier: CircuitRuns[Part], values: Float[np.ndarray, "circuit pair"], pairs: Sequence[int]
) -> Float[np.ndarray, " circuit"]:
    chosen = list(pairs)
    return recovered(values, verifier.full[chosen], verifier.empty[chosen])


def smallest_circuit(
    verifier: CircuitRuns[Part], order: Sequence[Part], pairs: Sequence[int], criterion: Criterion
) -> list[Part]:
    """Return the shortest beginning of an order that meets a criterion; all nodes if none does.

    All sizes are run, since faithfulness need not rise with size: this is the exact verification
    of the scores by patching.

    Args:
        verifier: Runs circuits.
        order: All nodes, the most important first.
        pairs: Pairs on which circuits are measured.
        criterion: What to reach.
    """
    sizes = range(len(order) + 1)
    faithful = criterion.faithful(verifier, [order[:size] for size in sizes], pairs)
    for size in np.flatnonzero(faithful).tolist():
        if criterion.complete(verifier, order[:size], pairs):
            return list(order[:size])
    return list(order)


def bracketed_circuit(
    runs: CircuitRuns[Part],
    order: Sequence[Part],
    pairs: Sequence[int],
    criterion: Criterion,
    *,
    n_sizes: int,
) -> list[Part]:
    """Return a short beginning of an order that meets a criterion, in few runs; all if none does.

    Sizes spaced evenly in logarithm are run. Between the first that meets the criterion and the one
    before it, the interval is halved until two neighbouring sizes differ. Where faithfulness rises
    with size, this is ``smallest_circuit``; elsewhere a shorter beginning may be overlooked.

    Args:
        runs: Runs circuits.
        order: All parts, the most important first.
        pairs: Pairs on which circuits are measured.
        criterion: What to reach; its ``gap`` is not checked.
        n_sizes: Number of sizes to begin with.
    """
    sizes = sizes_to_try(len(order), n_sizes)
    faithful = criterion.faithful(runs, [order[:size] for size in sizes], pairs)
    if not faithful.any():
        return list(order)
    first = int(np.argmax(faithful))
    low, high = (sizes[first - 1], sizes[first]) if first else (-1, 0)
    while high - low > 1:
        middle = (low + high) // 2
        if criterion.faithful(runs, [order[:middle]], pairs)[0]:
            high = middle
        else:
            low = middle
    return list(order[:high])


def pruned(
    verifier: CircuitRuns[Part], circuit: Sequence[Part], pairs: Sequence[int], criterion: Criterion
) -> list[Part]:
    """Drop members that a circuit does not need, the least important first.

    One member after the other is left out, and stays out if the rest still meets the criterion. Of
    two redundant members, one is therefore kept, unless the criterion asks for completeness.

    Args:
        verifier: Runs circuits.
        circuit: Members, the most important first.
        pairs: Pairs on which circuits are measured.
        criterion: What to keep.
    """
    kept = list(circuit)
    for member in reversed(circuit):
        rest = [node for node in kept if node != member]
        faithful = criterion.faithful(verifier, [rest], pairs)[0]
        if faithful and criterion.complete(verifier, rest, pairs):
            kept = rest
    return kept
