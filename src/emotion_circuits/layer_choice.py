"""Layers as parameters: all, by number, or by depth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

# Depth 0.5 is the middle layer of any model.
Depth = Annotated[float, Field(gt=0, lt=1)]
LayerChoice = Literal["all"] | list[NonNegativeInt | Depth]


def layer_numbers(choice: LayerChoice, n_layers: int) -> list[int]:
    """Return the numbers of the chosen layers.

    Args:
        choice: ``all``; or numbers counted from 0, and shares of depth: 0 < share < 1 is the layer
            nearest to that share of the way from the first layer to the last. Layers beyond the
            model's are returned as they are.
        n_layers: Number of layers of the model.

    Returns:
        Numbers in the order of the choice, each once.
    """
    if isinstance(choice, str):
        return list(range(n_layers))
    numbers = [_nearest(layer, n_layers) for layer in choice]
    return list(dict.fromkeys(numbers))


def _nearest(layer: int | float, n_layers: int) -> int:
    return layer if isinstance(layer, int) else round(layer * (n_layers - 1))
