"""Faithfulness of circuits: what a metric becomes if only a circuit's nodes do their work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Generic, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits.attribution import log_odds
from emotion_circuits.circuits.nodes import Node, Part
from emotion_circuits.circuits.replacements import Replacements
from emotion_circuits.interventions import BASELINE, Condition, Row, read_logits
from emotion_circuits.language_models import LanguageModel

Values = Float[np.ndarray, "circuit pair"]

# Runs are made for this many rows at a time.
_ROWS = 8192


class CircuitRuns(ABC, Generic[Part]):
    """Runs circuits of nodes or edges on pairs of prompts, and reads a metric.

    Attributes:
        full: Metric of each pair's clean prompt.
        empty: Metric of each pair with the empty circuit.
    """

    full: Float[np.ndarray, " pair"]
    empty: Float[np.ndarray, " pair"]

    def keep(
        self, circuits: Iterable[Collection[Part]], pairs: Sequence[int] | None = None
    ) -> Values:
        """Return the metric with all parts outside a circuit replaced.

        Args:
            circuits: The circuits.
            pairs: Indices of the pairs to run; None for all.
        """
        return self._table([frozenset(circuit) for circuit in circuits], pairs, keep=True)

    def remove(
        self, circuits: Iterable[Collection[Part]], pairs: Sequence[int] | None = None
    ) -> Values:
        """Return the metric with the parts of a circuit replaced, and no others."""
        return self._table([frozenset(circuit) for circuit in circuits], pairs, keep=False)

    @abstractmethod
    def _read(
        self, rows: Sequence[tuple[int, frozenset[Part]]], *, keep: bool
    ) -> Float[np.ndarray, " row"]:
        """Return the metric of each row, a pair with a circuit that is kept or removed."""

    def _table(
        self, circuits: list[frozenset[Part]], pairs: Sequence[int] | None, *, keep: bool
    ) -> Values:
        chosen = range(len(self.full)) if pairs is None else pairs
        distinct = list(dict.fromkeys(circuits))
        values = np.empty((len(distinct), len(chosen)))
        size = max(1, _ROWS // max(1, len(distinct)))
        for start in range(0, len(chosen), size):
            part = chosen[start : start + size]
            rows = [(pair, circuit) for circuit in distinct for pair in part]
            read = self._read(rows, keep=keep) if rows else np.empty(0)
            values[:, start : start + size] = read.reshape(len(distinct), len(part))
        place = {circuit: index for index, circuit in enumerate(distinct)}
        return values[[place[circuit] for circuit in circuits]]


class Verifier(CircuitRuns[Node]):
    """Reads the log odds of each pair's tokens while nodes are replaced, in exact runs.

    Attributes:
        model: The model.
        prompts: Token ids of each pair's clean prompt.
        replacements: The replacements of each pair's nodes.
        tokens: Sets of tokens whose log odds are read.
        token_set: Index of each pair's set of tokens.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[tuple[int, ...]],
        replacements: Sequence[Replacements],
        tokens: Sequence[Tensor],
        token_set: Sequence[int],
    ) -> None:
        self.model, self.prompts, self.replacements = model, prompts, replacements
        self.tokens, self.token_set = tokens, token_set
        everything = range(len(prompts))
        self.full = self._odds([(pair, BASELINE) for pair in everything])
        self.empty = self._odds([(pair, replacements[pair].keep(())) for pair in everything])

    def _read(
        self, rows: Sequence[tuple[int, frozenset[Node]]], *, keep: bool
    ) -> Float[np.ndarray, " row"]:
        made = []
        for pair, circuit in rows:
            replacements = self.replacements[pair]
            condition = (replacements.keep if keep else replacements.remove)(circuit)
            made.append((pair, condition))
        return self._odds(made)

    def _odds(self, conditions: Sequence[tuple[int, Condition]]) -> Float[np.ndarray, " row"]:
        rows = [Row(self.prompts[pair], condition) for pair, condition in conditions]
        odds = read_logits(
            self.model,
            rows,
            lambda logits: torch.stack([log_odds(logits, each) for each in self.tokens], dim=1),
        )
        columns = [self.token_set[pair] for pair, _ in conditions]
        values: np.ndarray = odds.double().numpy()[np.arange(len(rows)), columns]
        return values


class Areas(NamedTuple):
    """Areas of a curve of faithfulness against the share of parts that are kept.

    Attributes:
        cpr: Circuit performance ratio: area under the curve; more than 1 is possible.
        cmd: Circuit-model distance: area between the curve and 1; 0 is best.
    """

    cpr: float
    cmd: float


def recovered(
    kept: Float[np.ndarray, "... pair"],
    full: Float[np.ndarray, " pair"],
    empty: Float[np.ndarray, " pair"],
) -> Float[np.ndarray, ...]:
    """Return faithfulness: the share of the metric's mean change that is recovered.

    (m(C) − m(∅)) / (m(N) − m(∅)), each m a mean over pairs: 1 for the whole model N, 0 for the
    empty circuit ∅. NaN if the metric does not change.

    Source: Mueller et al. 2025, arXiv:2504.13151, section 3.
    """
    whole = full.mean() - empty.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        share: np.ndarray = np.asarray((kept.mean(-1) - empty.mean()) / whole)
    return share if whole != 0 else np.full_like(share, np.nan)


def areas(sizes: Sequence[int], faithfulness: Float[np.ndarray, " size"], n_parts: int) -> Areas:
    """Integrate a curve over the share of parts, nodes or edges, by the trapezoidal rule.

    Args:
        sizes: Increasing numbers of parts, from 0 to ``n_parts``.
        faithfulness: Faithfulness at each size.
        n_parts: Number of all parts.

    Source: Mueller et al. 2025, arXiv:2504.13151, who count edges and begin at 0.1 % of them.
    """
    weights = area_weights(sizes, n_parts)
    return Areas(float(weights @ faithfulness), float(weights @ np.abs(1 - faithfulness)))


def area_weights(sizes: Sequence[int], n_parts: int) -> Float[np.ndarray, " size"]:
    """Return each size's weight in an integral over the share of parts."""
    gaps = np.diff(np.asarray(sizes, dtype=float)) / n_parts
    weights: np.ndarray = (np.append(gaps, 0) + np.append(0, gaps)) / 2
    return weights


def sizes_to_try(n_parts: int, n_sizes: int) -> list[int]:
    """Return 0 and up to ``n_sizes`` numbers of parts from 1 to all, evenly spaced in logarithm."""
    spaced = np.unique(np.round(np.geomspace(1, n_parts, n_sizes)).astype(int))
    return [0, *spaced.tolist()]
