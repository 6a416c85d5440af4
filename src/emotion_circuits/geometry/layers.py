"""Matching the layers of two models."""

from __future__ import annotations

from collections.abc import Sequence

from emotion_circuits.errors import InputError, unknown_name


def match_layers(
    layers_a: Sequence[int], layers_b: Sequence[int], *, n_layers_a: int, n_layers_b: int
) -> list[tuple[int, int]]:
    """Match each layer of A with the layer of B that is nearest in relative depth.

    Relative depth runs from 0 (first layer) to 1 (last layer) of the whole model, including layers
    that were not captured.

    Args:
        layers_a: Layers of A to match, counted from 0.
        layers_b: Layers of B to choose from.
        n_layers_a: Number of layers of A.
        n_layers_b: Number of layers of B.

    Returns:
        Pairs (layer of A, layer of B), in the order of A. Ties go to the earlier layer. A layer of
        B may occur more than once, or never.
    """
    # Whole numbers in units of 1 / ((n_a − 1)(n_b − 1)) make ties exact.
    steps_a, steps_b = max(n_layers_a - 1, 1), max(n_layers_b - 1, 1)
    return [
        (layer, min(sorted(layers_b), key=lambda other: abs(layer * steps_b - other * steps_a)))
        for layer in layers_a
    ]


def check_layer_pairs(
    pairs: Sequence[tuple[int, int]], layers_a: Sequence[int], layers_b: Sequence[int]
) -> list[tuple[int, int]]:
    """Check layer pairs that a user named, and return them.

    Raises:
        InputError: If there is no pair, a layer does not exist, or a layer of A occurs twice.
    """
    if not pairs:
        raise InputError("layer_matching is []; name at least one pair of layers")
    for layer_a, layer_b in pairs:
        for layer, known, which in ((layer_a, layers_a, "first"), (layer_b, layers_b, "second")):
            if layer not in known:
                raise unknown_name("layer", layer, known, where=f"the {which} model's vectors")
    first = [layer for layer, _ in pairs]
    for layer in first:
        if first.count(layer) > 1:
            raise InputError(
                f"layer_matching names layer {layer} of the first model {first.count(layer)} "
                "times; results are kept by that layer, so once is allowed"
            )
    return [(layer_a, layer_b) for layer_a, layer_b in pairs]
