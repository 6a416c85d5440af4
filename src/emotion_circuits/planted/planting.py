"""Weights of the planted circuit, put in place of idle ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from jaxtyping import Float

from emotion_circuits.experiments.heads import Head
from emotion_circuits.planted import amplitudes
from emotion_circuits.planted.basis import Basis
from emotion_circuits.planted.idle import norm_gain
from emotion_circuits.planted.layout import Layout, sockets
from emotion_circuits.planted.shape import D_HEAD, PlantedShape
from emotion_circuits.planted.vocabulary import Vocabulary
from emotion_circuits.planted.weights import Weights
from emotion_circuits.seeds import rng_for

Vector = Float[np.ndarray, " d_model"]


class Planter:
    """Puts heads and an MLP into a copy of idle weights.

    A head has entries of its group's key and value to itself. Entries of a value that a planted
    head uses are read by no other head.
    """

    def __init__(self, weights: Weights, basis: Basis, shape: PlantedShape) -> None:
        """Copy the weights.

        Args:
            weights: Idle weights.
            basis: The directions.
            shape: The model's size.
        """
        self.weights, self._basis, self._shape = deepcopy(weights), basis, shape
        self._gain = norm_gain(shape.width)
        self._keys_taken: Counter[tuple[int, int]] = Counter()
        self._values_taken: Counter[tuple[int, int]] = Counter()
        # With a query that finds nothing, a head attends to BOS, whose value is zero.
        self._sink = basis["bos"] / (self._gain * amplitudes.FLAG)

    def look(self, head: Head, *, by: Vector, at: Vector) -> None:
        """Let a head attend to tokens with a component along ``at``, from tokens along ``by``.

        Args:
            head: The head.
            by: Reads 1 from the streams of tokens that look, and 0 from others.
            at: Reads 1 from the streams of tokens that are looked at, and 0 from others.
        """
        group = head.layer, head.head // self._shape.group
        first = 2 * self._keys_taken[group]
        self._keys_taken[group] += 1
        wanted, sink = sockets(D_HEAD)[first : first + 2]
        score = amplitudes.ATTENTION * np.sqrt(D_HEAD)
        query, key = self.weights.q[head], self.weights.k[group]
        query[:] = 0
        query[:, wanted], query[:, sink] = score * by, score / 2 * self.weights.one
        key[:, wanted], key[:, sink] = at, self._sink

    def move(self, head: Head, pairs: Sequence[tuple[Vector, Vector]]) -> None:
        """Let a head write, for each pair, its second vector times what its first one reads."""
        group = head.layer, head.head // self._shape.group
        first = self._values_taken[group]
        entries = range(first, first + len(pairs))
        self._values_taken[group] += len(pairs)
        assert entries.stop <= D_HEAD, "a value has too few entries for its heads"
        members = range(group[1] * self._shape.group, (group[1] + 1) * self._shape.group)
        self.weights.o[head] = 0
        for entry, (read, write) in zip(entries, pairs, strict=True):
            for member in members:
                self.weights.o[head.layer, member, entry] = 0
            self.weights.v[group][:, entry] = read
            self.weights.o[head][entry] = write

    def bind(self, layer: int, emotion: str, *, unit: int, saturates: bool) -> int:
        """Let an MLP write an emotion's ``bound`` where it is detected and a delimiter stands.

        Args:
            layer: The MLP's layer.
            emotion: The emotion.
            unit: First hidden unit to use.
            saturates: Whether one detect head of two is enough.

        Returns:
            The first unit that is left.
        """
        bends: tuple[float, ...] = (amplitudes.THRESHOLD,)
        excess = 1 + amplitudes.AT_DELIMITER - amplitudes.THRESHOLD
        if saturates:
            bends = (amplitudes.THRESHOLD, amplitudes.THRESHOLD + amplitudes.SATURATION)
            excess = amplitudes.SATURATION
        detected = self._basis.of("detected", emotion) / (self._gain * amplitudes.DETECTED)
        delimiter = self._basis["delimiter"] / (self._gain * amplitudes.FLAG)
        seen = detected + amplitudes.AT_DELIMITER * delimiter
        slope = amplitudes.BOUND / excess
        for sign, bend in zip((1, -1), bends, strict=False):
            self.weights.mlp_in[layer, :, unit] = amplitudes.SHARPNESS * (
                seen - bend * self.weights.one
            )
            self.weights.mlp_out[layer, unit] = (
                sign * slope / amplitudes.SHARPNESS * self._basis.of("bound", emotion)
            )
            unit += 1
        return unit


def plant(
    weights: Weights,
    shape: PlantedShape,
    vocabulary: Vocabulary,
    basis: Basis,
    layout: Layout,
    *,
    seed: int,
) -> Weights:
    """Plant the circuit and its decoys.

    Args:
        weights: Idle weights, which stay as they are.
        shape: The model's size.
        vocabulary: The words; cues get their emotion's cue direction.
        basis: The directions.
        layout: Where to plant.
        seed: Seed of what the loud decoys read and write.
    """
    planter = Planter(weights, basis, shape)
    gain, emotions = norm_gain(shape.width), vocabulary.emotions.names
    one = planter.weights.one
    end, delimiter = (basis[flag] / (gain * amplitudes.FLAG) for flag in ("end", "delimiter"))
    cues = {emotion: basis.of("cue", emotion) / (gain * amplitudes.CUE) for emotion in emotions}
    for emotion in emotions:
        rows = [vocabulary.ids[word] for word in vocabulary.cues(emotion)]
        planter.weights.embed[rows] += amplitudes.CUE * basis.of("cue", emotion)
        for head in layout.detect[emotion]:
            planter.look(head, by=one, at=cues[emotion])
            detected = amplitudes.DETECTED * basis.of("detected", emotion)
            planter.move(head, [(cues[emotion], detected)])

    unit = 0
    for emotion in emotions:
        redundant = len(layout.detect[emotion]) > 1
        unit = planter.bind(layout.mlp, emotion, unit=unit, saturates=redundant)

    def passing(source: str, size: float, to: str, written: float, emotion: str) -> tuple:
        return basis.of(source, emotion) / (gain * size), written * basis.of(to, emotion)

    planter.look(layout.aggregate, by=end, at=delimiter)
    planter.move(
        layout.aggregate,
        [passing("bound", amplitudes.BOUND, "carried", amplitudes.CARRIED, e) for e in emotions],
    )
    speakers = {layout.express[emotion]: (emotion, 1.0) for emotion in emotions}
    speakers[layout.inhibit] = (emotions[0], -amplitudes.INHIBITED)
    for head, (emotion, share) in speakers.items():
        planter.look(head, by=end, at=end)
        written = share * amplitudes.EXPRESSED
        planter.move(head, [passing("carried", amplitudes.CARRIED, "expressed", written, emotion)])
    _plant_decoys(planter, basis, layout, cues, seed)
    return planter.weights


def _plant_decoys(
    planter: Planter, basis: Basis, layout: Layout, cues: dict[str, Vector], seed: int
) -> None:
    rng = rng_for(seed, "planted_decoys")
    one = planter.weights.one
    for head in layout.watch:
        planter.look(head, by=one, at=sum(cues.values(), start=np.zeros_like(one)))
        planter.move(head, [(one, basis.junk[0])])
    for head in layout.loud:
        # Constant and tokens' identities, onto directions that nothing reads.
        reads = [one, *(rng.normal(size=(2, len(basis.tokens))) @ basis.tokens)]
        directions = basis.junk[rng.permutation(len(basis.junk))[: len(reads)]]
        written = zip((1.0, 0.5, 0.5), directions, strict=True)
        planter.move(
            head,
            list(
                zip(reads, (amplitudes.LOUD * size * each for size, each in written), strict=True)
            ),
        )
