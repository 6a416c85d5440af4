"""Circuits as a file has them, and the one that a text may be tested with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from emotion_circuits.circuits.edge_places import graph_of
from emotion_circuits.circuits.nodes import Graph, Node
from emotion_circuits.circuits.random_circuits import permuted_circuits
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.experiments.circuit_lines import CIRCUIT, RANDOM
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.prompts import CLUSTER, PAIR_HALVES

# Name of all pairs, beside the names of their halves.
ALL_PAIRS: Final = "all"

# A circuit's nodes, by the pairs that it was found on: one half, the other, or all.
Members = Mapping[str, frozenset[Node]]


@dataclass(frozen=True)
class FoundCircuits:
    """The circuits of all emotions.

    Attributes:
        of_emotion: Each emotion's circuits.
        halves: Half of each cluster of pairs that the circuits were found on.
    """

    of_emotion: dict[str, Members]
    halves: dict[str, str]

    @classmethod
    def read(
        cls,
        circuit: Mapping[str, Any],
        discovery: PairedPrompts,
        *,
        whole: Literal["nodes", "consensus"],
    ) -> FoundCircuits:
        """Read the circuits of a file.

        Args:
            circuit: The content of ``<model>_circuit.json``.
            discovery: The pairs that the circuits were found on.
            whole: Circuit on all pairs: ``nodes`` found on them, or the ``consensus`` of resamples.

        Raises:
            InputError: If the file is of another model, other pairs or other emotions, a circuit is
                empty, or the model lacks one of its nodes.
        """
        model, emotions = discovery.model, discovery.emotions.names
        if circuit["model"] != model.name:
            raise InputError(
                f"the circuit file is of model {circuit['model']!r}, and the model is "
                f"{model.name!r}; run --pipelines=circuits for this model"
            )
        found = circuit["circuits"]
        for emotion in emotions:
            if emotion not in found:
                raise unknown_name("emotion", emotion, found, where="the circuit file")
            n_pairs = len(discovery.pairs(emotion))
            if found[emotion]["n_pairs"] != n_pairs:
                raise InputError(
                    f"the circuit of {emotion} was found on {found[emotion]['n_pairs']} pairs, and "
                    f"its settings now choose {n_pairs}; run --pipelines=circuits again"
                )
        graph = graph_of(model)
        table = discovery.table
        return cls(
            {emotion: _members(emotion, found[emotion], graph, whole) for emotion in emotions},
            dict(zip(table[CLUSTER], table["half"], strict=True)),
        )

    def found_on(self, cluster: str) -> str:
        """Return on which pairs the circuit was found that texts of a cluster are tested with.

        These are pairs of other clusters: the other half of the pairs if the cluster is one of
        theirs, else all pairs.
        """
        if cluster not in self.halves:
            return ALL_PAIRS
        return next(half for half in PAIR_HALVES if half != self.halves[cluster])


def _members(
    emotion: str, found: Mapping[str, Any], graph: Graph, whole: Literal["nodes", "consensus"]
) -> Members:
    names = {half: [line["node"] for line in found["halves"][half]["members"]] for half in
             PAIR_HALVES}  # fmt: skip
    names[ALL_PAIRS] = [line if isinstance(line, str) else line["node"] for line in found[whole]]
    return {
        pairs: _parse(f"the circuit of {emotion} found on {_named(pairs)}", of_pairs, graph)
        for pairs, of_pairs in names.items()
    }


def _named(pairs: str) -> str:
    return "all pairs" if pairs == ALL_PAIRS else f"half {pairs}"


def _parse(what: str, names: Sequence[str], graph: Graph) -> frozenset[Node]:
    if not names:
        raise InputError(
            f"{what} is empty; a circuit to change needs at least one node: lower the threshold of "
            "circuits, or give it more pairs"
        )
    try:
        nodes = frozenset(graph.node(name) for name in names)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    for node in nodes:
        if node.kind not in ("head", "mlp"):
            raise InputError(f"{what} holds {str(node)!r}; allowed are heads and MLPs")
    return nodes


@dataclass(frozen=True)
class NodeSet:
    """A set of nodes that are changed together.

    Attributes:
        name: ``circuit``, ``random 0`` and so on, or a single node's name.
        members: The nodes by the pairs that the circuit was found on; some may be missing.
    """

    name: str
    members: Members


def whole_sets(
    model: LanguageModel, members: Members, *, n_random: int, seed: int
) -> list[NodeSet]:
    """Return an emotion's circuit, and random circuits with as many heads and MLPs.

    Args:
        model: The model.
        members: The circuits, which are permuted together (see ``permuted_circuits``).
        n_random: Number of random circuits.
        seed: Seed of the draws.
    """
    images = permuted_circuits(
        [sorted(own, key=str) for own in members.values()],
        graph_of(model).nodes()[1:-1],
        kind="same_kinds",
        n_draws=n_random,
        seed=seed,
    )
    return [
        NodeSet(CIRCUIT, members),
        *(
            NodeSet(f"{RANDOM} {draw}", dict(zip(members, image, strict=True)))
            for draw, image in enumerate(images)
        ),
    ]


def single_nodes(members: Members) -> list[NodeSet]:
    """Return a set for each node of the circuits, for those circuits that have it."""
    every = sorted(set().union(*members.values()), key=_place)
    return [
        NodeSet(
            str(node), {pairs: frozenset({node}) for pairs, own in members.items() if node in own}
        )
        for node in every
    ]


def spell(nodes: frozenset[Node]) -> str:
    """Write nodes by layer, heads before the MLP."""
    return " ".join(map(str, sorted(nodes, key=_place)))


def _place(node: Node) -> tuple[int, bool, int]:
    return node.layer or 0, node.head is None, node.head or 0
