"""Where the parts of a planted circuit stand in a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotion_circuits.experiments.heads import Head
from emotion_circuits.planted.shape import PlantedShape
from emotion_circuits.seeds import rng_for


@dataclass(frozen=True)
class Layout:
    """Places of the planted parts.

    Attributes:
        detect: For each emotion the heads that attend to its cues; the last emotion has two, of
            which one is enough.
        mlp: Layer of the MLP that binds what was detected to the delimiter.
        aggregate: The head that moves it from the delimiter to the last position.
        express: For each emotion the head that raises its reactions.
        inhibit: The head that lowers the first emotion's reactions.
        loud: Decoys that write much, and nothing about an emotion.
        watch: Decoys that attend to the cues of all emotions, and write nothing about them.
    """

    detect: dict[str, tuple[Head, ...]]
    mlp: int
    aggregate: Head
    express: dict[str, Head]
    inhibit: Head
    loud: tuple[Head, ...]
    watch: tuple[Head, ...]


def lay_out(shape: PlantedShape, emotions: tuple[str, ...], seed: int) -> Layout:
    """Draw the places: detection before the MLP, then aggregation, then expression.

    Args:
        shape: The model's size.
        emotions: The emotions.
        seed: Seed of the draw.
    """
    rng = rng_for(seed, "planted_layout")
    n = shape.n_layers
    mlp = int(rng.integers(0, n - 2))
    aggregate = int(rng.integers(mlp + 1, n - 1))
    free = [Head(layer, head) for layer in range(n) for head in range(shape.n_heads)]

    def take(layers: range) -> Head:
        allowed = [head for head in free if head.layer in layers]
        chosen = allowed[int(rng.integers(len(allowed)))]
        free.remove(chosen)
        return chosen

    numbers = [1 + (emotion == emotions[-1]) for emotion in emotions]
    detect = {
        emotion: tuple(take(range(mlp + 1)) for _ in range(number))
        for emotion, number in zip(emotions, numbers, strict=True)
    }
    late = range(aggregate + 1, n)
    return Layout(
        detect=detect,
        mlp=mlp,
        aggregate=take(range(aggregate, aggregate + 1)),
        express={emotion: take(late) for emotion in emotions},
        inhibit=take(late),
        loud=(take(range(n)), take(range(n))),
        watch=(take(range(n)),),
    )


def sockets(d_head: int) -> np.ndarray:
    """Return entries of a key for planted heads: those that rotary positions turn least, in pairs.

    Half of the key's entries; entry ``i`` turns with entry ``i + d_head / 2``.
    """
    half = d_head // 2
    slow = np.arange(half - 1, half // 2 - 1, -1)
    return np.stack([slow, slow + half], axis=1).ravel()
