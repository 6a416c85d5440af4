"""Plans of modulation: a circuit's own contributions made larger, and its controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotion_circuits.circuits.found_circuits import FoundCircuits, NodeSet, spell
from emotion_circuits.circuits.joint_plans import NO_CHANGE, Line
from emotion_circuits.circuits.modulation import Components, Units, scale, shift
from emotion_circuits.experiments.circuit_lines import (
    CIRCUIT,
    COVARIANCE,
    ISOTROPIC,
    MODULATION,
    OWN,
)
from emotion_circuits.experiments.directions import (
    Vectors,
    covariance_controls,
    random_control,
)
from emotion_circuits.experiments.steering import Steering
from emotion_circuits.geometry import PooledActivations
from emotion_circuits.interventions import Condition, Row, text_seed
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.seeds import seed_for


@dataclass(frozen=True)
class Modulated:
    """What is modulated: a set of nodes along directions.

    Attributes:
        nodes: The nodes.
        direction: ``emotion``, or ``isotropic 0`` or ``covariance 0`` and so on.
        units: Unit vectors by layer.
    """

    nodes: NodeSet
    direction: str
    units: Units


@dataclass(frozen=True)
class Strengths:
    """How circuits are modulated.

    Attributes:
        modes: ``shift``, ``scale`` or both.
        betas: The strengths.
        steering: Positions, and the course of the strength, as in steering.
    """

    modes: Sequence[str]
    betas: Sequence[float]
    steering: Steering


def random_units(
    pooled: PooledActivations,
    vectors: Vectors,
    emotion: str,
    *,
    n_draws: int,
    split: str,
    seed: int,
) -> dict[str, Units]:
    """Draw directions without an emotion: one unit vector for each layer and draw.

    Args:
        pooled: Activations that the emotion vectors were measured on.
        vectors: The emotion vectors.
        emotion: The emotion whose vectors the directions are compared with.
        n_draws: Number of draws of each kind.
        split: Split of the prompts that vectors were measured on.
        seed: Seed of the draws.

    Returns:
        By name, ``isotropic 0`` and so on (uniform) and ``covariance 0`` and so on (with the
        covariance of the activations).
    """
    own = {key: vector for key, vector in vectors.items() if key[0] == emotion}
    seeds = {
        kind: {
            (name, layer): [
                seed_for(seed, f"modulation_{kind}", name, layer, draw) for draw in range(n_draws)
            ]
            for name, layer in own
        }
        for kind in (ISOTROPIC, COVARIANCE)
    }
    drawn = {
        ISOTROPIC: {
            key: [random_control(vector, each) for each in seeds[ISOTROPIC][key]]
            for key, vector in own.items()
        },
        COVARIANCE: covariance_controls(pooled, own, seeds[COVARIANCE], split=split),
    }
    return {
        f"{kind} {draw}": {
            layer: _unit(controls[draw].direction) for (_, layer), controls in of_kind.items()
        }
        for kind, of_kind in drawn.items()
        for draw in range(n_draws)
    }


def _unit(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


def modulation_lines(
    model: LanguageModel,
    emotion: str,
    prompts: Sequence[Mapping[str, Any]],
    modulated: Sequence[Modulated],
    amounts: Mapping[str, Components],
    found: FoundCircuits,
    strengths: Strengths,
) -> Iterator[Line]:
    """Plan every modulation on every prompt.

    Args:
        model: The model.
        emotion: The emotion.
        prompts: Coordinates of each prompt: ``prompt``, ``cluster`` and others.
        modulated: The circuit, and its controls. Random directions have the circuit's own amounts,
            so that a shift along them is as long as the circuit's.
        amounts: By the pairs that a circuit was found on, what the emotion adds to each node's
            component on these pairs.
        found: Which circuit a prompt is tested with.
        strengths: Modes and strengths.
    """
    known: dict[tuple[str, str, str, str, float], Condition] = {}
    for where in prompts:
        text = where["prompt"]
        ids, pairs = tuple(model.encode(text)), found.found_on(where["cluster"])
        for each in modulated:
            nodes = each.nodes.members[pairs]
            shared = {**where, **NO_CHANGE, "kind": MODULATION, "emotion": emotion}
            shared |= {"circuit": each.nodes.name, "direction": each.direction}
            shared["nodes"] = spell(nodes)
            for mode in strengths.modes:
                for beta in strengths.betas:
                    key = (each.nodes.name, each.direction, pairs, mode, beta)
                    if key not in known:
                        name = " ".join(map(str, key))
                        known[key] = (
                            scale(model, name, nodes, each.units, beta, strengths.steering)
                            if mode == "scale"
                            else shift(
                                name, nodes, each.units, amounts[pairs], beta, strengths.steering
                            )
                        )
                    row = Row(ids, known[key], text_seed(text))
                    yield row, {**shared, "mode": mode, "dose": float(beta)}


def with_controls(
    sets: Sequence[NodeSet], units: Units, random: Mapping[str, Units]
) -> list[Modulated]:
    """Combine circuits with the emotion's direction, and the first one with random directions.

    Args:
        sets: The circuit, then random ones.
        units: The emotion's directions.
        random: Random directions by name.
    """
    assert sets[0].name == CIRCUIT
    return [
        *(Modulated(nodes, OWN, units) for nodes in sets),
        *(Modulated(sets[0], name, drawn) for name, drawn in random.items()),
    ]
