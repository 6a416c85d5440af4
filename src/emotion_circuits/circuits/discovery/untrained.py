"""Circuits of a model with random weights, as a control."""

from __future__ import annotations

from typing import Any

from emotion_circuits.circuits.discovery.edge_circuits import measure_edge_circuits
from emotion_circuits.circuits.discovery.emotion_discovery import discover
from emotion_circuits.circuits.discovery.measures import measure_circuits
from emotion_circuits.circuits.discovery.settings import CircuitSettings
from emotion_circuits.experiments.paired_prompts import PairedPrompts


def measure_untrained(
    prompts: PairedPrompts, emotion_vectors: dict[str, Any], settings: CircuitSettings
) -> dict[str, Any]:
    """Find circuits of a model with random weights as those of the trained model, and test them.

    Whatever changes the log odds has a circuit, so how much they change (``metric_clean`` minus
    ``metric_empty``) belongs to the comparison.

    Args:
        prompts: The trained model's pairs of prompts, with the untrained model.
        emotion_vectors: The trained model's vectors, which the target ``projection`` reads.
        settings: Parameters of the phase.

    Returns:
        By emotion, the result of ``measure_circuits``, with ``edge_circuit`` where edges are run.
    """
    measured: dict[str, Any] = {}
    for discovery in discover(prompts, emotion_vectors, settings):
        found = measure_circuits(discovery, discovery.circuits_of_halves())
        if settings.edges is not None:
            found["edge_circuit"] = measure_edge_circuits(discovery, settings.edges)
        measured[discovery.emotion] = found
    return measured
