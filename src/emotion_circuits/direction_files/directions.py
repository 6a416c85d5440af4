"""Directions by layer, with what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float

from emotion_circuits.errors import InputError

# Larger than any model's directions: 200 layers of width 32,768 are 26 MB.
LARGEST_FILE: Final = 256 * 2**20
_MOST_LAYERS: Final = 10_000


@dataclass(frozen=True)
class Directions:
    """Directions that are added to the residual stream, and where they come from.

    Attributes:
        by_layer: By layer, the float32 vector that is added at strength 1 to the output of that
            block (``resid_post``). Blocks are counted from 0.
        metadata: Texts by name. ``model_type`` is the architecture's name in transformers, which
            repeng writes as ``model_hint``; ``hook_point`` is ``resid_post``.
    """

    by_layer: Mapping[int, Float[np.ndarray, " d_model"]]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check layers, shapes, types and values.

        Raises:
            InputError: If there is no layer, or a vector is not float32, not of one width with the
                others, zero, or not finite.
        """
        if not self.by_layer:
            raise InputError("there are no directions; needed is one layer or more")
        for layer, vector in self.by_layer.items():
            self._check(layer, vector)

    @property
    def layers(self) -> list[int]:
        """The layers, in ascending order."""
        return sorted(self.by_layer)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return len(next(iter(self.by_layer.values())))

    def _check(self, layer: int, vector: np.ndarray) -> None:
        if not 0 <= layer < _MOST_LAYERS:
            raise InputError(f"layer is {layer}; allowed are 0 to {_MOST_LAYERS - 1}")
        if vector.dtype != np.float32:
            raise InputError(f"direction of layer {layer} is {vector.dtype}; allowed is float32")
        if vector.shape != (self.d_model,) or not self.d_model:
            raise InputError(
                f"direction of layer {layer} has shape {list(vector.shape)}; allowed is one vector "
                f"per layer, all of one width, here {self.d_model}"
            )
        if not np.isfinite(vector).all():
            raise InputError(f"direction of layer {layer} has NaN or infinite values")
        if not vector.any():
            raise InputError(f"direction of layer {layer} is zero")
