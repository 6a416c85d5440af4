"""Circuits of edges, run exactly: found on one half of the pairs and tested on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from emotion_circuits.circuits.circuit import Criterion, bracketed_circuit, ranked
from emotion_circuits.circuits.connected import connected
from emotion_circuits.circuits.discovery.cross_fitting import ByHalf, CrossFitted
from emotion_circuits.circuits.discovery.emotion_discovery import Discovery, by_half
from emotion_circuits.circuits.discovery.halves import measure_halves
from emotion_circuits.circuits.discovery.settings import EdgeCircuitSettings
from emotion_circuits.circuits.edge_places import graph_of
from emotion_circuits.circuits.edge_references import mean_writes, resampled_writes
from emotion_circuits.circuits.edge_verifier import EdgeVerifier
from emotion_circuits.circuits.faithfulness import recovered
from emotion_circuits.circuits.nodes import Edge
from emotion_circuits.circuits.stability import likeness
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.seeds import rng_for


class EdgeDiscovery:
    """Finds circuits of edges on some of one emotion's pairs.

    Attributes:
        discovery: The emotion's pairs, with the scores of edges.
        settings: Parameters of circuits of edges.
        edges: All edges.
        scores: Score of each edge on each pair.
    """

    def __init__(self, discovery: Discovery, settings: EdgeCircuitSettings) -> None:
        self.discovery, self.settings = discovery, settings
        self.edges = graph_of(discovery.verifier.model).edges()
        self.scores = discovery.attribution.edges.double().numpy()

    @cached_property
    def runs(self) -> EdgeVerifier:
        """Runs circuits of edges; edges outside carry what replaces nodes outside elsewhere."""
        discovery, of_nodes = self.discovery, self.discovery.verifier
        ablation = discovery.settings.ablation
        references = by_half(
            {"resample": resampled_writes, "mean": mean_writes}[ablation],
            of_nodes.model,
            of_nodes.prompts,
            discovery.partners,
            discovery.halves,
            ablation,
        )
        (tokens,) = of_nodes.tokens
        return EdgeVerifier(of_nodes.model, of_nodes.prompts, references, tokens, of_nodes.full)

    def order(self, pairs: Sequence[int], signs: np.ndarray | None = None) -> list[Edge]:
        """Rank edges by their mean score over pairs, each with a sign if ``signs`` is given."""
        scores = self.scores[list(pairs)]
        if signs is not None:
            scores = scores * signs[list(pairs), None]
        return ranked(self.edges, scores.mean(0), self.discovery.settings.order)

    def circuit(self, pairs: Sequence[int]) -> list[Edge]:
        """Find the connected part of a small faithful circuit on some pairs."""
        settings = self.discovery.settings
        criterion = Criterion(settings.threshold, settings.most)
        found = bracketed_circuit(
            self.runs, self.order(pairs), pairs, criterion, n_sizes=self.settings.n_sizes
        )
        return connected(found)


def measure_edge_circuits(discovery: Discovery, settings: EdgeCircuitSettings) -> dict[str, Any]:
    """Find circuits of edges on all pairs and on each half, and measure these on the other half.

    Args:
        discovery: One emotion's scores and pairs.
        settings: Parameters of circuits of edges.

    Returns:
        ``edges`` (the circuit on all pairs, by score), ``faithfulness_where_found``, ``halves``,
        ``jaccard_halves`` and ``spearman_halves``, ``faithfulness``, ``remaining``, ``curve``,
        ``cmd``, ``cpr`` and ``controls``, as for nodes.
    """
    found = EdgeDiscovery(discovery, settings)
    runs, everything = found.runs, list(range(len(discovery.halves)))
    crossed = CrossFitted(discovery, runs)
    pairs = {half: discovery.of_half(half) for half in PAIR_HALVES}
    circuits = {half: found.circuit(pairs[half]) for half in PAIR_HALVES}
    rng = rng_for(discovery.settings.seed, "orders_of_edges", discovery.emotion)
    return {
        "metric_empty": float(runs.empty.mean()),
        **_describe(found, found.circuit(everything), everything),
        "halves": {half: _describe_half(found, half, circuits[half]) for half in PAIR_HALVES},
        **_stability(found, circuits),
        **measure_halves(crossed, circuits, found.edges, found.order, settings, rng),
    }


def compare_edge_circuits(
    found: Mapping[str, Mapping[str, Any]], discoveries: Sequence[Discovery]
) -> dict[str, dict[str, float]]:
    """Return how faithful the other emotions' circuits of edges are for each emotion.

    Args:
        found: The result of ``measure_edge_circuits`` by emotion.
        discoveries: The emotions' pairs.
    """
    shares: dict[str, dict[str, float]] = {}
    for discovery in discoveries:
        of_edges = discovery.settings.edges
        assert of_edges is not None
        # The runs are made anew: those of all emotions together would hold much memory.
        own = EdgeDiscovery(discovery, of_edges)
        by_name = {str(edge): edge for edge in own.edges}
        others = [emotion for emotion in found if emotion != discovery.emotion]
        circuits = [[by_name[line["edge"]] for line in found[name]["edges"]] for name in others]
        values = recovered(own.runs.keep(circuits), own.runs.full, own.runs.empty)
        shares[discovery.emotion] = dict(zip(others, map(float, values), strict=True))
    return shares


def _describe(
    found: EdgeDiscovery, circuit: Sequence[Edge], pairs: Sequence[int]
) -> dict[str, Any]:
    """List a circuit, and what it recovers where it was found."""
    means = dict(zip(found.edges, found.scores[list(pairs)].mean(0), strict=True))
    chosen, runs = list(pairs), found.runs
    own = recovered(runs.keep([circuit], chosen), runs.full[chosen], runs.empty[chosen])
    ends = {node for edge in circuit for node in (edge.source, edge.target)}
    return {
        "size": len(circuit),
        "n_nodes": sum(node.layer is not None for node in ends),
        "faithfulness_where_found": float(own[0]),
        "edges": [{"edge": str(edge), "score": float(means[edge])} for edge in circuit],
    }


def _describe_half(found: EdgeDiscovery, half: str, circuit: Sequence[Edge]) -> dict[str, Any]:
    """Describe a half's circuit: its size, and what the loss of members costs elsewhere."""
    discovery, runs = found.discovery, found.runs
    described = _describe(found, circuit, discovery.of_half(half))
    other = next(each for each in PAIR_HALVES if each != half)
    tested_on = discovery.of_half(other)
    rng = rng_for(discovery.settings.seed, "members_of_edges", discovery.emotion, half)
    n = min(found.settings.num_losses, len(circuit))
    drawn = [circuit[index] for index in rng.choice(len(circuit), n, replace=False)]
    whole, *without = recovered(
        runs.keep([circuit, *([e for e in circuit if e != lost] for lost in drawn)], tested_on),
        runs.full[tested_on],
        runs.empty[tested_on],
    )
    losses = whole - np.array(without)
    return described | {
        "losses": {
            "n": n,
            "mean": float(losses.mean()) if n else float("nan"),
            "share_positive": float((losses > 0).mean()) if n else float("nan"),
            "edges": [
                {"edge": str(edge), "loss": float(loss)}
                for edge, loss in zip(drawn, losses, strict=True)
            ],
        }
    }


def _stability(found: EdgeDiscovery, circuits: ByHalf[Edge]) -> dict[str, float]:
    one, other = (circuits[half] for half in PAIR_HALVES)
    scores = [found.scores[found.discovery.of_half(half)].mean(0) for half in PAIR_HALVES]
    alike = likeness((one, other), (scores[0], scores[1]))
    return {"jaccard_halves": alike.jaccard, "spearman_halves": alike.spearman}
