"""Outcomes of an experiment: one line per text, with its coordinates and scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

# Columns that are neither a coordinate nor a metric.
RESULTS: Final = ("text", "token_ids", "fluency")
# Name of fluency among the metrics.
FLUENCY: Final = "fluency/nll"
BASELINE_KIND: Final = "baseline"
# Other coordinates of a text that no direction was added to.
UNSTEERED: Final[Mapping[str, Any]] = {"emotion": "", "layer": None, "draw": 0, "alpha": None}


@dataclass(frozen=True)
class Outcomes:
    """A table of texts that a model generated.

    Baseline and controls are lines like all others, with coordinates of their own.

    Attributes:
        table: One line per text.

            The first columns are the experiment's coordinates: ``prompt`` and, if known, its
            ``label``, ``pair_id`` and ``half``; ``kind`` (``baseline``, ``emotion``, ``random``,
            ``shuffled``, ``ablation``, ``patch`` and so on); ``emotion``, ``layer``, ``alpha``,
            ``draw`` (index of a control), ``head_set``, ``heads`` and others. Then come ``text``
            (the continuation), ``token_ids`` (its tokens), ``fluency`` (nats per token under the
            unpatched model; lower is more fluent), and one column ``metric/label`` per score.
    """

    table: pd.DataFrame

    @property
    def metrics(self) -> tuple[str, ...]:
        """The ``metric/label`` columns."""
        return tuple(name for name in self.table.columns if "/" in name)

    @property
    def keys(self) -> tuple[str, ...]:
        """The metrics, followed by fluency if it is known."""
        return (*self.metrics, FLUENCY) if "fluency" in self.table else self.metrics

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The columns of coordinates."""
        others = {*RESULTS, *self.metrics}
        return tuple(name for name in self.table.columns if name not in others)

    @property
    def baseline(self) -> Outcomes:
        """The lines without an intervention."""
        return self.where(kind=BASELINE_KIND)

    def __len__(self) -> int:
        return len(self.table)

    def where(self, **wanted: Any) -> Outcomes:
        """Keep the lines whose coordinates have the wanted values, in their order.

        Args:
            wanted: By coordinate, one value or a list, tuple, set or range of allowed values.
        """
        kept = np.ones(len(self.table), dtype=bool)
        for name, value in wanted.items():
            is_collection = isinstance(value, list | tuple | set | frozenset | range)
            # A line without the coordinate, such as a baseline without a layer, never matches.
            kept &= self.table[name].isin(value if is_collection else [value]).to_numpy(bool)
        return Outcomes(self.table[kept])

    def values(self, keys: Sequence[str] | None = None) -> Float[np.ndarray, "line key"]:
        """Return scores as an array.

        Args:
            keys: The scores as ``metric/label``, with ``fluency/nll``; None for all.
        """
        names = ["fluency" if key == FLUENCY else key for key in keys or self.keys]
        # With texts contiguous in memory, the sum of one score over texts does not depend on the
        # number of other scores.
        return np.ascontiguousarray(self.table[names].to_numpy(dtype=float))

    def groups(self, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], Outcomes]]:
        """Group lines by some coordinates, in order of first appearance.

        Args:
            by: Coordinates; missing values count as equal.

        Yields:
            The values of the coordinates, and the lines that share them.
        """
        for values, lines in self.table.groupby(list(by), sort=False, dropna=False):
            yield dict(zip(by, values, strict=True)), Outcomes(lines)


def join(parts: Iterable[Outcomes]) -> Outcomes:
    """Concatenate the lines of several experiments on one model."""
    tables = [part.table for part in parts]
    # Empty tables have columns without a type, which would change the type of the others.
    return Outcomes(pd.concat([t for t in tables if len(t)] or tables, ignore_index=True))


def metric_name(key: str) -> str:
    """Write ``metric/label`` as ``metric.label``, the form in CSV tables."""
    return key.replace("/", ".", 1)


def nest(scores: Mapping[str, float], digits: int | None = None) -> dict[str, dict[str, float]]:
    """Nest one text's ``metric/label`` scores as ``{metric: {label: value}}``."""
    nested: dict[str, dict[str, float]] = {}
    for key, value in scores.items():
        metric, label = key.split("/", 1)
        number = float(value)
        nested.setdefault(metric, {})[label] = number if digits is None else round(number, digits)
    return nested
