"""Discovery on resampled pairs: how alike circuits are, and the nodes most of them hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from emotion_circuits.circuits.discovery.emotion_discovery import Discovery
from emotion_circuits.circuits.faithfulness import recovered
from emotion_circuits.circuits.nodes import Node
from emotion_circuits.circuits.stability import consensus, likeness, resampled_pairs
from emotion_circuits.prompts import PAIR_HALVES

# A node belongs to the consensus if more than this share of circuits has it.
_CONSENSUS: Final = 0.5


def resample_circuits(
    discovery: Discovery, halves: Mapping[str, Sequence[Node]]
) -> tuple[pd.DataFrame, dict[Node, float]]:
    """Repeat discovery on pairs drawn with replacement, whole clusters at a time.

    Args:
        discovery: One emotion's scores and runs.
        halves: The result of ``Discovery.circuits_of_halves``.

    Returns:
        One line for every two resamples, and one for the two halves of the pairs, which share no
        pair: ``emotion``, ``first``, ``second``, ``size_first``, ``size_second``, ``jaccard``,
        ``spearman``; and the nodes of the resamples' circuits, with the share that has each.
    """
    settings = discovery.settings
    draws: dict[str, list[int]] = {
        str(number): pairs
        for number, pairs in enumerate(
            resampled_pairs(
                discovery.clusters, n_resamples=settings.num_resamples, seed=settings.seed
            )
        )
    }
    circuits = {name: discovery.circuit(pairs) for name, pairs in draws.items()}
    draws |= {f"half {half}": discovery.of_half(half) for half in PAIR_HALVES}
    circuits |= {f"half {half}": list(circuit) for half, circuit in halves.items()}
    scores = {name: discovery.scores[pairs].mean(0) for name, pairs in draws.items()}
    names = [str(number) for number in range(settings.num_resamples)]
    compared = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
    lines = []
    for one, other in [*compared, (f"half {PAIR_HALVES[0]}", f"half {PAIR_HALVES[1]}")]:
        alike = likeness((circuits[one], circuits[other]), (scores[one], scores[other]))
        lines.append(
            {
                "emotion": discovery.emotion,
                "first": one,
                "second": other,
                "size_first": len(circuits[one]),
                "size_second": len(circuits[other]),
                **alike._asdict(),
            }
        )
    agreed = consensus([circuits[name] for name in names], share=0.0)
    order = {node: place for place, node in enumerate(discovery.nodes)}
    return pd.DataFrame(lines), dict(sorted(agreed.items(), key=lambda item: order[item[0]]))


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """Return the mean likeness of resamples with the range of the middle 95 %, and of halves."""
    of_halves = table["first"].str.startswith("half")
    summary: dict[str, Any] = {}
    for name in ("jaccard", "spearman"):
        values = table.loc[~of_halves, name].dropna()
        summary[name] = {
            "value": float(values.mean()),
            "lower": float(values.quantile(0.025)),
            "upper": float(values.quantile(0.975)),
            "halves": float(table.loc[of_halves, name].iloc[0]),
        }
    return summary


def describe_circuit(
    discovery: Discovery, circuit: Sequence[Node], agreed: Mapping[Node, float]
) -> dict[str, Any]:
    """Describe the circuit found on all pairs, and the consensus of resamples.

    Returns:
        ``nodes`` (by score, with the share of resamples' circuits that have each node),
        ``consensus`` (nodes in more than half of them), ``faithfulness_where_found`` and that of
        the consensus, on all pairs.
    """
    means = dict(zip(discovery.nodes, discovery.scores.mean(0), strict=True))
    verifier = discovery.verifier
    own, of_consensus = recovered(
        verifier.keep([circuit, [node for node, share in agreed.items() if share > _CONSENSUS]]),
        verifier.full,
        verifier.empty,
    )
    return {
        "nodes": [
            {
                "node": str(node),
                "score": float(means[node]),
                "share_of_resamples": agreed.get(node, 0.0),
            }
            for node in sorted(circuit, key=lambda node: -abs(means[node]))
        ],
        "consensus": [str(node) for node, share in agreed.items() if share > _CONSENSUS],
        "faithfulness_where_found": float(own),
        "faithfulness_of_consensus": float(of_consensus),
    }
