"""Recovered circuits, edges and roles, against planted ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.circuits.faithfulness import CircuitRuns, Verifier, recovered
from emotion_circuits.circuits.nodes import Edge, Node
from emotion_circuits.circuits.random_circuits import permuted_circuits
from emotion_circuits.planted.recovery.checks import Check
from emotion_circuits.planted.truth import PlantedTruth
from emotion_circuits.seeds import rng_for

N_RANDOM: Final = 50


def check_circuits(
    truth: PlantedTruth,
    circuits: Mapping[str, Any],
    edges: pd.DataFrame,
    *,
    bar: float,
    edge_bar: float,
) -> Iterator[Check]:
    """Compare each emotion's circuit with the nodes that carry it, and edges with planted ones.

    Args:
        truth: What is known.
        circuits: ``circuits`` of the circuit file, by emotion.
        edges: Table of edges, with their rank by absolute score.
        bar: Smallest precision and recall of nodes.
        edge_bar: Smallest share of planted edges among as many edges with the largest scores. The
            number is known, so precision and recall are one.
    """
    for emotion in truth.emotions:
        carrying = {node.node for node in truth.nodes if emotion in node.emotions}
        if not carrying:
            continue
        found = {line["node"] for line in circuits[emotion]["nodes"]}
        yield Check("circuit_precision", emotion, _share(found, carrying), bar)
        yield Check("circuit_recall", emotion, _share(carrying, found), bar)
        planted = set(truth.edges.get(emotion, ()))
        if planted:
            own = edges[(edges["emotion"] == emotion) & (edges["rank"] <= len(planted))]
            yield Check("edge_recall", emotion, _share(planted, set(own["edge"])), edge_bar)


def check_faithfulness(
    emotion: str,
    verifier: Verifier,
    circuit: Collection[Node],
    nodes: Sequence[Node],
    *,
    bar: float,
    random_bar: float,
    distance_bar: float,
    seed: int,
) -> Iterator[Check]:
    """Run the planted circuit alone, as many random nodes alone, and it with ever more others.

    Args:
        emotion: The emotion.
        verifier: Runs sets of nodes on the emotion's pairs.
        circuit: The planted nodes.
        nodes: All nodes.
        bar: Smallest faithfulness of the planted circuit.
        random_bar: Largest mean faithfulness of random sets of its size.
        distance_bar: Largest mean distance of faithfulness from 1 (CMD), from the planted circuit
            on, with other nodes added in random order. Below its size, no set can be faithful.
        seed: Seed of the random sets and order.
    """
    own = frozenset(circuit)
    others = [node for node in nodes if node not in own]
    order = rng_for(seed, "other_nodes", emotion).permutation(len(others))
    grown = [own | {others[index] for index in order[:size]} for size in range(len(others) + 1)]
    images = permuted_circuits([list(own)], nodes, kind="any", n_draws=N_RANDOM, seed=seed)
    values = verifier.keep([*grown, *(image for (image,) in images)])
    shares = recovered(values, verifier.full, verifier.empty)
    yield Check("circuit_faithfulness", emotion, float(shares[0]), bar)
    distance = float(np.abs(1 - shares[: len(grown)]).mean())
    yield Check("circuit_model_distance", emotion, distance, distance_bar, at_least=False)
    random = float(shares[len(grown) :].mean())
    yield Check("random_faithfulness", emotion, random, random_bar, at_least=False)


def check_edge_faithfulness(
    emotion: str,
    runs: CircuitRuns[Edge],
    circuit: Collection[Edge],
    edges: Sequence[Edge],
    *,
    bar: float,
    random_bar: float,
    seed: int,
) -> Iterator[Check]:
    """Run the planted edges alone, as many random edges alone, and all other edges.

    Args:
        emotion: The emotion.
        runs: Runs circuits of edges on the emotion's pairs.
        circuit: The planted edges.
        edges: All edges.
        bar: Smallest faithfulness of the planted edges.
        random_bar: Largest mean faithfulness of random edges, and largest share that is left
            without the planted ones.
        seed: Seed of the random edges.
    """
    images = permuted_circuits([list(circuit)], edges, kind="any", n_draws=N_RANDOM, seed=seed)
    values = runs.keep([circuit, *(image for (image,) in images)])
    shares = recovered(values, runs.full, runs.empty)
    (remaining,) = recovered(runs.remove([circuit]), runs.full, runs.empty)
    random = float(shares[1:].mean())
    yield Check("edge_circuit_faithfulness", emotion, float(shares[0]), bar)
    yield Check("random_edge_faithfulness", emotion, random, random_bar, at_least=False)
    yield Check("without_edges_remaining", emotion, float(remaining), random_bar, at_least=False)


def significant_circuits(circuits: Mapping[str, Any], *, alpha: float) -> list[str]:
    """Return emotions whose circuit does more than random sets, corrected by Bonferroni.

    Each half's circuit is tested on the other half of the templates.

    Args:
        circuits: ``circuits`` of the circuit file, by emotion.
        alpha: Chance of any finding in a model without circuits.
    """
    p_of = {emotion: found["controls"]["any"]["p"] for emotion, found in circuits.items()}
    return [emotion for emotion, p in p_of.items() if p is not None and p * len(p_of) <= alpha]


def check_roles(truth: PlantedTruth, heads: pd.DataFrame, *, bar: float) -> Iterator[Check]:
    """Ask how many heads that carry one role have it in the table of heads.

    Args:
        truth: What is known.
        heads: Table of heads, with a role for each emotion.
        bar: Smallest share of planted heads, over emotions, whose role is recovered.
    """
    known = [
        (emotion, node)
        for node in truth.heads
        if node.role in ("detect", "aggregate", "express")
        for emotion in node.emotions
    ]
    if known:
        table = heads.set_index("node")
        right = [
            str(table.at[node.node, f"role_{emotion}"]) == node.role for emotion, node in known
        ]
        yield Check("roles_recovered", f"{len(right)} heads", sum(right) / len(right), bar)


def _share(of: set[str], within: set[str]) -> float:
    """Return the share of a set that lies in another; 0 of the empty set."""
    return len(of & within) / len(of) if of else 0.0
