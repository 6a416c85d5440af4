"""Nested dictionaries, and the two forms of a condition's texts and scores in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.experiments.outcomes import Outcomes, nest

Line = dict[str, Any]
# Coordinates of texts without steering.
# Every coordinate that lines of a file may have.
_COORDINATES: Final = (
    *("prompt", "kind", "record", "emotion", "layer", "head", "heads", "variant", "control"),
    *("draw", "alpha"),
)


def nested(items: Iterable[tuple[tuple[Any, ...], Any]]) -> dict[Any, Any]:
    """Nest values in dictionaries, by their keys from outer to inner."""
    tree: dict[Any, Any] = {}
    for (*outer, last), value in items:
        inner = tree
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return tree


def walk(tree: Mapping[Any, Any], depth: int) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the values of nested dictionaries with their keys, in order."""
    for key, value in tree.items():
        if depth == 1:
            yield (key,), value
        else:
            yield from (((key, *rest), leaf) for rest, leaf in walk(value, depth - 1))


def conditions_in_order(
    outcomes: Outcomes,
) -> Iterator[tuple[tuple[str, int, int, float], Outcomes]]:
    """Yield each condition's emotion, layer, draw and strength, and its lines.

    Emotions keep their order; the conditions of an emotion are sorted.
    """
    rank = {emotion: index for index, emotion in enumerate(outcomes.table["emotion"].unique())}
    groups = [
        ((where["emotion"], int(where["layer"]), int(where["draw"]), float(where["alpha"])), lines)
        for where, lines in outcomes.groups(["emotion", "layer", "draw", "alpha"])
    ]
    yield from sorted(groups, key=lambda group: (rank[group[0][0]], *group[0][1:]))


class ScoreBook:
    """Nested scores, with one shared object for all texts of equal scores.

    Many texts are equal, and a pickle writes a shared object only once.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, dict[str, dict[str, float]]] = {}

    def scores(self, outcomes: Outcomes) -> list[dict[str, dict[str, float]]]:
        """Return ``{metric: {label: value}}`` of each line."""
        metrics, scores = outcomes.metrics, []
        for values in outcomes.values(metrics):
            key = values.tobytes()
            if key not in self._known:
                self._known[key] = nest(dict(zip(metrics, values, strict=True)))
            scores.append(self._known[key])
        return scores

    def cell(self, outcomes: Outcomes) -> dict[str, Any]:
        """Return a condition's ``texts``, ``metrics``, ``fluency`` and ``token_ids`` by prompt."""
        table = outcomes.table
        columns = {
            "texts": table["text"].tolist(),
            "metrics": self.scores(outcomes),
            "fluency": table["fluency"].tolist(),
            "token_ids": [list(ids) for ids in table["token_ids"]],
        }
        prompts = table["prompt"].tolist()
        return {name: dict(zip(prompts, column, strict=True)) for name, column in columns.items()}

    def records(self, outcomes: Outcomes) -> list[dict[str, Any]]:
        """Return ``prompt``, ``text``, ``metrics`` and ``fluency`` of each line of a condition."""
        table = outcomes.table
        columns = (table["prompt"], table["text"], self.scores(outcomes), table["fluency"].tolist())
        names = ("prompt", "text", "metrics", "fluency")
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def lines_of_cell(cell: Mapping[str, Any], **where: Any) -> Iterator[Line]:
    """Read a cell by prompt; everything but the scores may be missing."""
    optional = {name: cell.get(key) or {} for name, key in (("text", "texts"), ("fluency",) * 2)}
    tokens = cell.get("token_ids") or {}
    for prompt, metrics in cell["metrics"].items():
        text, fluency = optional["text"].get(prompt, ""), optional["fluency"].get(prompt, np.nan)
        line = {"prompt": prompt, **where, "text": text, "token_ids": tuple(tokens.get(prompt, ()))}
        yield line | {"fluency": fluency} | flat(metrics)


def lines_of_records(records: Iterable[Mapping[str, Any]], **where: Any) -> Iterator[Line]:
    """Read a list of records, each with its prompt; text and fluency may be missing."""
    for record in records:
        line = {"prompt": record["prompt"], **where, "text": record.get("text", "")}
        yield line | {"fluency": record.get("fluency", np.nan)} | flat(record["metrics"])


def flat(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Flatten nested scores to ``metric/label``, with NaN for None.

    Older files hold some scores in flat form, by ``metric/label`` or ``metric.label``.
    """
    scores: dict[str, Any] = {}
    for metric, labels in metrics.items():
        if isinstance(labels, Mapping):
            scores |= {f"{metric}/{label}": value for label, value in labels.items()}
        else:
            scores[metric if "/" in metric else metric.replace(".", "/", 1)] = labels
    return {key: np.nan if value is None else float(value) for key, value in scores.items()}


def outcomes_of(lines: Iterable[Line]) -> Outcomes:
    """Turn lines read from a file into outcomes.

    A file without results gives a table without lines, with its coordinates all the same.
    """
    listed = list(lines)
    table = pd.DataFrame(listed, columns=None if listed else list(_COORDINATES))
    return Outcomes(table.astype({name: "Int64" for name in ("layer", "head") if name in table}))
