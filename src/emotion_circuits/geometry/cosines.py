"""Cosines between emotion vectors of different emotions or layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float


def cosine_table(
    vectors: Mapping[str, Float[np.ndarray, "layer d_model"]], layer_indices: Sequence[int]
) -> pd.DataFrame:
    """Compare the emotion vectors of each layer, and each emotion's vectors across layers.

    Args:
        vectors: For each emotion, its vector at each layer.
        layer_indices: Layer numbers of the first axis.

    Returns:
        One line per ordered pair: ``layer_a``, ``emotion_a``, ``layer_b``, ``emotion_b``,
        ``cosine`` (NaN if a vector is zero).
    """
    lines = [
        {
            "layer_a": layer_a,
            "emotion_a": emotion_a,
            "layer_b": layer_b,
            "emotion_b": emotion_b,
            "cosine": cosine(vectors[emotion_a][a], vectors[emotion_b][b]),
        }
        for emotion_a in vectors
        for emotion_b in vectors
        for a, layer_a in enumerate(layer_indices)
        for b, layer_b in enumerate(layer_indices)
        if layer_a == layer_b or emotion_a == emotion_b
    ]
    return pd.DataFrame(lines)


def cosine(left: Float[np.ndarray, " d"], right: Float[np.ndarray, " d"]) -> float:
    """Return the cosine of the angle between two vectors; NaN if one of them is zero."""
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / norms if norms > 0 else float("nan")
