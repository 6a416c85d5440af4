"""Recovered emotion vectors against planted directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from emotion_circuits.planted.recovery.checks import Check
from emotion_circuits.planted.truth import PlantedTruth


def check_directions(
    truth: PlantedTruth,
    vectors: Mapping[str, Float[np.ndarray, "layer d_model"]],
    layers: Sequence[int],
    *,
    bar: float,
) -> Iterator[Check]:
    """Compare vectors of the last token after each layer with the directions that are known there.

    Args:
        truth: What is known.
        vectors: By emotion, the recovered vectors.
        layers: The layer of each vector.
        bar: Smallest cosine.
    """
    for known in truth.directions:
        if known.layer not in layers:
            continue
        vector = vectors[known.emotion][list(layers).index(known.layer)]
        wanted = np.array(known.vector)
        lengths = np.linalg.norm(vector) * np.linalg.norm(wanted)
        cosine = float(vector @ wanted / lengths) if lengths > 0 else float("nan")
        yield Check("direction_cosine", f"{known.emotion}, layer {known.layer}", cosine, bar)
