"""Circuits found on one half of the pairs, run on the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Generic

import numpy as np
from jaxtyping import Float

from emotion_circuits.circuits.discovery.emotion_discovery import Discovery
from emotion_circuits.circuits.faithfulness import CircuitRuns, recovered
from emotion_circuits.circuits.nodes import Part
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.statistics.ratios import ratio_interval

# Circuits or orders, by the half that they were found on.
ByHalf = Mapping[str, Sequence[Part]]
Values = Float[np.ndarray, "circuit pair"]


class CrossFitted(Generic[Part]):
    """Runs circuits on the pairs of the half that they were not found on.

    Attributes:
        discovery: One emotion's pairs.
        runs: Runs circuits of nodes or of edges on the pairs.
        full: Metric of the whole model on each pair.
        empty: Metric of the empty circuit on each pair.
    """

    def __init__(self, discovery: Discovery, runs: CircuitRuns[Part]) -> None:
        self.discovery = discovery
        self.runs: CircuitRuns[Part] = runs
        self.full, self.empty = runs.full, runs.empty

    def keep(self, circuits: Sequence[Mapping[str, Collection[Part]]]) -> Values:
        """Return the metric with all but each circuit replaced."""
        return self._run(circuits, keep=True)

    def remove(self, circuits: Sequence[Mapping[str, Collection[Part]]]) -> Values:
        """Return the metric with each circuit replaced."""
        return self._run(circuits, keep=False)

    def _run(self, circuits: Sequence[Mapping[str, Collection[Part]]], *, keep: bool) -> Values:
        values = np.empty((len(circuits), len(self.full)))
        for half, other in zip(PAIR_HALVES, reversed(PAIR_HALVES), strict=True):
            pairs = self.discovery.of_half(other)
            found = [circuit[half] for circuit in circuits]
            run = self.runs.keep if keep else self.runs.remove
            values[:, pairs] = run(found, pairs)
        return values

    def shares(self, values: Values) -> Float[np.ndarray, " circuit"]:
        """Return the share of the metric's change that is recovered."""
        return recovered(values, self.full, self.empty)

    def interval(self, part: Float[np.ndarray, " pair"]) -> dict[str, float]:
        """Return the ratio of a part of the metric's change to the whole, with its interval."""
        found = ratio_interval(
            part,
            self.full - self.empty,
            n_bootstrap=self.discovery.settings.n_bootstrap,
            seed=self.discovery.settings.seed,
            clusters=self.discovery.clusters,
        )
        return found._asdict()
