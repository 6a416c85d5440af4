"""What an experiment gave: one line a text, with what it was made under and what it scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

# Columns that are neither a coordinate nor a metric.
RESULTS: Final = ("text", "token_ids", "fluency")
# The name that fluency has among the metrics, where effects on all of them are listed.
FLUENCY: Final = "fluency/nll"
BASELINE_KIND: Final = "baseline"


@dataclass(frozen=True)
class Outcomes:
    """A table of texts that a model wrote.

    Baseline and controls are lines like any others, told apart by their coordinates.

    Attributes:
        table: One line a text.

            Coordinates come first, as many as the experiment has: ``prompt`` and, where it has
            them, its ``label``, ``pair_id`` and ``half``; ``kind`` (``baseline``, ``emotion``,
            ``random``, ``shuffled``, ``ablation``, ``patch`` and so on); ``emotion``, ``layer``,
            ``alpha``, ``draw`` (which of several controls), ``head_set``, ``heads`` and others.
            Then ``text`` (the continuation), ``token_ids`` (as they were generated) and
            ``fluency`` (nats per token under the unpatched model, lower is more fluent). Then one
            column ``metric/label`` for each score.
    """

    table: pd.DataFrame

    @property
    def metrics(self) -> tuple[str, ...]:
        """The ``metric/label`` columns."""
        return tuple(name for name in self.table.columns if "/" in name)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every metric, and fluency last where it is known."""
        return (*self.metrics, FLUENCY) if "fluency" in self.table else self.metrics

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The columns that say what each line is."""
        others = {*RESULTS, *self.metrics}
        return tuple(name for name in self.table.columns if name not in others)

    @property
    def baseline(self) -> Outcomes:
        """The lines without any intervention."""
        return self.where(kind=BASELINE_KIND)

    def __len__(self) -> int:
        return len(self.table)

    def where(self, **wanted: Any) -> Outcomes:
        """Keep the lines whose coordinates have the wanted values, in their order.

        Args:
            wanted: By coordinate a value, or a list, tuple or set of allowed ones.
        """
        kept = np.ones(len(self.table), dtype=bool)
        for name, value in wanted.items():
            several = isinstance(value, list | tuple | set | frozenset | range)
            # A line without the coordinate, such as a baseline without a layer, is none of them.
            kept &= self.table[name].isin(value if several else [value]).to_numpy(bool)
        return Outcomes(self.table[kept])

    def values(self, keys: Sequence[str] | None = None) -> Float[np.ndarray, "line key"]:
        """Give scores as an array.

        Args:
            keys: Which ``metric/label``, ``fluency/nll`` among them; None for all.
        """
        names = ["fluency" if key == FLUENCY else key for key in keys or self.keys]
        # One text after the other in memory: sums over texts then do not depend on which scores
        # stand beside the one that is summed.
        return np.ascontiguousarray(self.table[names].to_numpy(dtype=float))

    def groups(self, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], Outcomes]]:
        """Give the lines that agree in some coordinates, in the order they come first.

        Args:
            by: Coordinates; missing values agree with each other.

        Yields:
            The coordinates' values, and the lines.
        """
        for values, lines in self.table.groupby(list(by), sort=False, dropna=False):
            yield dict(zip(by, values, strict=True)), Outcomes(lines)


def join(parts: Iterable[Outcomes]) -> Outcomes:
    """Put the lines of several experiments of one model under each other."""
    tables = [part.table for part in parts]
    # Columns without lines have no type; they must not change that of the others.
    return Outcomes(pd.concat([t for t in tables if len(t)] or tables, ignore_index=True))


def metric_name(key: str) -> str:
    """Write ``metric/label`` as CSV tables do: ``metric.label``."""
    return key.replace("/", ".", 1)


def nest(scores: Mapping[str, float], digits: int | None = None) -> dict[str, dict[str, float]]:
    """Give ``{metric: {label: value}}`` of one text's ``metric/label`` scores."""
    nested: dict[str, dict[str, float]] = {}
    for key, value in scores.items():
        metric, label = key.split("/", 1)
        number = float(value)
        nested.setdefault(metric, {})[label] = number if digits is None else round(number, digits)
    return nested
