"""Phase 8: circuits of each emotion, their measures, and their pictures."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.circuits import graph_of
from emotion_circuits.circuits.discovery.edge_circuits import (
    compare_edge_circuits,
    measure_edge_circuits,
)
from emotion_circuits.circuits.discovery.emotion_discovery import Discovery, discover
from emotion_circuits.circuits.discovery.measures import measure_circuits
from emotion_circuits.circuits.discovery.settings import CircuitSettings, EdgeCircuitSettings
from emotion_circuits.circuits.discovery.stabilities import (
    describe_circuit,
    resample_circuits,
    summarize,
)
from emotion_circuits.circuits.discovery.untrained import measure_untrained
from emotion_circuits.circuits.edge_tables import edge_table
from emotion_circuits.circuits.faithfulness import recovered
from emotion_circuits.circuits.graph_export import circuit_graph, graphml
from emotion_circuits.circuits.nodes import Edge, Node
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.language_models import LanguageModel, load_language_model
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.reporting.circuits import draw_circuits, draw_curves


@needs_emotions("marking_words")
def find_circuits(
    language_model: LanguageModel,
    prompts: pd.DataFrame,
    emotion_vectors: dict[str, Any],
    emotions: EmotionSet,
    settings: CircuitSettings,
    profile: str,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, str]:
    """Find the circuit of each emotion, and test it.

    Args:
        language_model: The model.
        prompts: Phase 1's table.
        emotion_vectors: Phase 3's vectors, which the target ``projection`` reads.
        emotions: The study's emotions.
        settings: Parameters of circuit discovery.
        profile: The profile's name.

    Returns:
        The circuits with their measures and controls, in the form of the file; the table of edges;
        the table of stability; and the graph as GraphML.

    Raises:
        InputError: If a pair is incomplete, there are too few pairs, or the vectors lack a layer.
    """
    paired = PairedPrompts.prepare(
        settings.placed(language_model),
        prompts,
        emotions,
        split=settings.split,
        limit=settings.max_samples_per_emotion,
    )
    graph = graph_of(paired.model)
    edges = graph.edges()
    found: dict[str, Any] = {}
    edge_tables, stability_tables = [], []
    discoveries = discover(paired, emotion_vectors, settings)
    for discovery in discoveries:
        circuit = discovery.circuit(range(len(discovery.halves)))
        halves = discovery.circuits_of_halves()
        stability, agreed = resample_circuits(discovery, halves)
        stability_tables.append(stability)
        edge_tables.append(_edge_table(discovery, edges, circuit))
        found[discovery.emotion] = {
            **describe_circuit(discovery, circuit, agreed),
            **measure_circuits(discovery, halves),
            "stability": summarize(stability),
        }
    _compare_emotions(found, discoveries)
    if settings.edges is not None:
        _add_edge_circuits(found, discoveries, settings.edges)
    table = pd.concat(edge_tables, ignore_index=True)
    within = table[table["in_circuit"]]
    for emotion, of_emotion in found.items():
        lines = within[within["emotion"] == emotion]
        of_emotion["edges"] = lines[["edge", "score"]].to_dict("records")
    circuits = {
        "profile": profile,
        "model": paired.model.name,
        "settings": settings.model_dump(),
        "n_nodes": len(graph.nodes()) - 2,
        "n_edges": len(edges),
        "circuits": found,
    }
    if settings.untrained_seed is not None:
        spec = language_model.spec.model_copy(update={"untrained_seed": settings.untrained_seed})
        drawn = replace(paired, model=settings.placed(load_language_model(spec)))
        circuits["untrained"] = measure_untrained(drawn, emotion_vectors, settings)
    members = {emotion: each["nodes"] for emotion, each in found.items()}
    made: dict[str, Any] = _without_nan(circuits)
    return (
        made,
        table,
        pd.concat(stability_tables, ignore_index=True),
        graphml(circuit_graph(graph, members, within)),
    )


def _add_edge_circuits(
    found: dict[str, Any], discoveries: Sequence[Discovery], settings: EdgeCircuitSettings
) -> None:
    """Add each emotion's circuit of edges, and how faithful the other emotions' are for it."""
    circuits = {each.emotion: measure_edge_circuits(each, settings) for each in discoveries}
    for emotion, shares in compare_edge_circuits(circuits, discoveries).items():
        circuits[emotion]["controls"]["other_emotions"] = shares
        found[emotion]["edge_circuit"] = circuits[emotion]


def _edge_table(
    discovery: Discovery, edges: Sequence[Edge], circuit: Collection[Node]
) -> pd.DataFrame:
    settings = discovery.settings
    table = edge_table(
        edges,
        discovery.attribution.edges.double().numpy(),
        circuit,
        halves=discovery.halves,
        clusters=discovery.clusters,
        limit=settings.max_edges,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
    )
    table.insert(0, "emotion", discovery.emotion)
    return table


def _compare_emotions(found: dict[str, Any], discoveries: Sequence[Discovery]) -> None:
    """Add to each emotion's controls how faithful the other emotions' circuits are for it."""
    by_name = {str(node): node for node in discoveries[0].nodes}
    circuits = {
        emotion: [by_name[line["node"]] for line in each["nodes"]]
        for emotion, each in found.items()
    }
    for discovery in discoveries:
        verifier = discovery.verifier
        others = [name for name in circuits if name != discovery.emotion]
        kept = verifier.keep([circuits[name] for name in others])
        shares = recovered(kept, verifier.full, verifier.empty)
        found[discovery.emotion]["controls"]["other_emotions"] = {
            name: float(share) for name, share in zip(others, shares, strict=True)
        }


def _without_nan(value: Any) -> Any:
    """Replace NaN by None, since JSON has no number for it."""
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def draw(circuit: dict[str, Any]) -> tuple[go.Figure, go.Figure]:
    """Draw the curves of faithfulness, and the circuits."""
    return draw_curves(circuit), draw_circuits(circuit)
