"""Circuits of nodes found on one half of the pairs and tested on the other, against controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emotion_circuits.circuits.discovery.cross_fitting import ByHalf, CrossFitted
from emotion_circuits.circuits.discovery.emotion_discovery import Discovery
from emotion_circuits.circuits.discovery.halves import measure_halves
from emotion_circuits.circuits.faithfulness import recovered
from emotion_circuits.circuits.nodes import Node
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.ratios import ratio_interval


def measure_circuits(discovery: Discovery, circuits: ByHalf[Node]) -> dict[str, Any]:
    """Measure the circuit found on each half on the other half.

    Args:
        discovery: One emotion's scores and runs.
        circuits: The result of ``Discovery.circuits_of_halves``.

    Returns:
        ``halves`` (members with score and loss, faithfulness where it was found), ``faithfulness``,
        ``remaining`` (completeness: the share of the change that is left without the circuit),
        ``curve``, ``cmd``, ``cpr`` and ``controls``; shares of the metric's change with 95 %
        intervals over clusters.
    """
    crossed = CrossFitted(discovery, discovery.verifier)
    settings = discovery.settings
    rng = rng_for(settings.seed, "orders_of_nodes", discovery.emotion)
    return {
        "n_pairs": len(discovery.halves),
        "n_clusters": len(set(discovery.clusters)),
        "metric_clean": float(crossed.full.mean()),
        "metric_empty": float(crossed.empty.mean()),
        "halves": {half: _members(discovery, half, circuits[half]) for half in PAIR_HALVES},
        **measure_halves(crossed, circuits, discovery.nodes, discovery.order, settings, rng),
    }


def _members(discovery: Discovery, half: str, circuit: Sequence[Node]) -> dict[str, Any]:
    """Describe a half's circuit: members by score, and what the loss of each costs elsewhere."""
    other = next(each for each in PAIR_HALVES if each != half)
    found_on, tested_on = discovery.of_half(half), discovery.of_half(other)
    verifier, settings = discovery.verifier, discovery.settings
    means = dict(zip(discovery.nodes, discovery.scores[found_on].mean(0), strict=True))
    whole = verifier.keep([circuit], tested_on)[0]
    without = verifier.keep(
        [[node for node in circuit if node != member] for member in circuit], tested_on
    )
    change = (verifier.full - verifier.empty)[tested_on]
    clusters = [discovery.clusters[pair] for pair in tested_on]
    members = []
    for member, values in zip(circuit, without, strict=True):
        loss = ratio_interval(
            whole - values,
            change,
            n_bootstrap=settings.n_bootstrap,
            seed=settings.seed,
            clusters=clusters,
        )
        members.append(
            {"node": str(member), "score": float(means[member])}
            | {f"loss{end}": v for end, v in zip(("", "_lower", "_upper"), loss, strict=True)}
        )
    own = recovered(
        verifier.keep([circuit], found_on), verifier.full[found_on], verifier.empty[found_on]
    )
    return {"size": len(circuit), "faithfulness_where_found": float(own[0]), "members": members}
