"""Modulation of a circuit: its nodes' own contributions along an emotion, made larger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits.direct_write import output_weights
from emotion_circuits.circuits.nodes import Node
from emotion_circuits.circuits.replacements import Outputs, Prompts, inner_nodes
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.experiments.directions import Vectors
from emotion_circuits.experiments.steering import Steering
from emotion_circuits.interventions import Add, Condition, Intervention, ProjectOut, Site
from emotion_circuits.language_models import LanguageModel

MODES: Final = ("shift", "scale")
# Unit vectors by layer.
Units = Mapping[int, Float[np.ndarray, " d_model"]]
# Component of each node's output along the unit vector of its layer.
Components = Mapping[Node, float]


def unit_vectors(vectors: Vectors, emotion: str, n_layers: int) -> dict[int, np.ndarray]:
    """Return an emotion's direction after each layer.

    Raises:
        InputError: If a layer has no vector, or one of length zero.
    """
    units: dict[int, np.ndarray] = {}
    for layer in range(n_layers):
        vector = vectors.get((emotion, layer))
        if vector is None:
            known = [known for name, known in vectors if name == emotion]
            raise unknown_name("layer", layer, known, where=f"the emotion vectors of {emotion}")
        length = float(np.linalg.norm(vector))
        if length == 0:
            raise InputError(f"the vector of {emotion} at layer {layer} is zero: no direction")
        units[layer] = vector / length
    return units


@torch.no_grad()
def components(
    model: LanguageModel, prompts: Prompts, units: Units, *, batch_size: int = 32
) -> Float[Tensor, "prompt node"]:
    """Return the component of each node's output along its layer's direction, at the last position.

    Args:
        model: The model.
        prompts: Token ids, BOS included.
        units: The directions; a head's output is z W_O, what it adds to the residual stream.
        batch_size: Prompts per forward pass.

    Returns:
        Components in the units of the residual stream, with nodes in the order of computation.
    """
    outputs = Outputs(model, prompts, batch_size=batch_size)
    readers = {layer: _head_directions(model, layer, unit) for layer, unit in units.items()}
    found = torch.zeros(len(prompts), len(inner_nodes(model)))
    for place, node in enumerate(inner_nodes(model)):
        assert node.layer is not None
        for prompt in range(len(prompts)):
            if node.head is None:
                unit = torch.as_tensor(units[node.layer], dtype=torch.float32)
                written = outputs.mlps[prompt][node.layer, -1].float() @ unit
            else:
                z = outputs.z[prompt][node.layer, -1, node.head].float()
                written = z @ readers[node.layer][node.head]
            found[prompt, place] = written
    return found


def mean_changes(
    model: LanguageModel,
    pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
    units: Units,
    *,
    batch_size: int = 32,
) -> Float[np.ndarray, "pair node"]:
    """Return how much more of a direction each node writes on the first prompt of each pair.

    Args:
        model: The model.
        pairs: Token ids of the emotional and of the neutral prompt.
        units: The directions.
        batch_size: Prompts per forward pass.
    """
    first, second = (
        components(model, list(side), units, batch_size=batch_size)
        for side in zip(*pairs, strict=True)
    )
    change: np.ndarray = (first - second).double().numpy()
    return change


def shift(
    name: str,
    nodes: Collection[Node],
    units: Units,
    amounts: Components,
    beta: float,
    steering: Steering,
) -> Condition:
    """Add to each node's output β times what an emotion adds to it along a direction.

    With β = 1 a node writes on average as much more along the direction as it does on emotional
    prompts. What nodes of a layer's attention add is summed and added to its output.

    Args:
        name: The condition's name.
        nodes: The nodes.
        units: The directions.
        amounts: Mean component on emotional minus neutral prompts, for each node.
        beta: Strength.
        steering: Positions, and the course of the strength.
    """
    added: dict[Site, np.ndarray] = {}
    for node in nodes:
        assert node.layer is not None
        site = Site("mlp_out" if node.head is None else "attn_out", node.layer)
        own = amounts[node] * units[node.layer]
        added[site] = added[site] + own if site in added else own
    return Condition(
        name,
        tuple(
            Intervention(site, Add(vector), steering.positions, steering.strength(beta))
            for site, vector in added.items()
        ),
    )


def scale(
    model: LanguageModel,
    name: str,
    nodes: Collection[Node],
    units: Units,
    beta: float,
    steering: Steering,
) -> Condition:
    """Multiply the component of each node's output along a direction by 1 + β.

    An MLP's output o becomes o + β(u·o)u. A head's z becomes z + β(w·z)w / (w·w) with w = W_O u: of
    all changes of z with this effect on the component u·(z W_O) it is the smallest. It changes what
    the head writes in other directions too. A head with w = 0 writes nothing along u and is left
    out.

    Args:
        model: The model.
        name: The condition's name.
        nodes: The nodes.
        units: The directions.
        beta: Strength; −1 removes the component.
        steering: Positions, and the course of the strength.
    """
    interventions = []
    for node in nodes:
        assert node.layer is not None
        if node.head is None:
            site, direction = Site("mlp_out", node.layer), torch.as_tensor(units[node.layer])
        else:
            site = Site("z", node.layer, node.head)
            direction = _head_directions(model, node.layer, units[node.layer])[node.head]
        if bool(direction.any()):
            # x − s·(u·x)u with s = −β.
            strength = steering.strength(-beta)
            operator = ProjectOut(direction)
            interventions.append(Intervention(site, operator, steering.positions, strength))
    return Condition(name, tuple(interventions))


def _head_directions(
    model: LanguageModel, layer: int, unit: Float[np.ndarray, " d_model"]
) -> Float[Tensor, "head d_head"]:
    """Return W_O u of each head, on the CPU: what of z is written along u."""
    weights = output_weights(model, layer).float().cpu()
    directions: Tensor = weights @ torch.as_tensor(unit, dtype=torch.float32)
    return directions
