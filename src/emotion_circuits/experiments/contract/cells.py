"""One condition's texts and scores, in the two forms the files of phase 5 have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from emotion_circuits.experiments.outcomes import Outcomes, nest

Line = dict[str, Any]


class ScoreBook:
    """Nested scores, one object for all texts that have the same ones.

    A pickle writes an object once, however often it is named, and many texts are equal.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, dict[str, dict[str, float]]] = {}

    def scores(self, outcomes: Outcomes) -> list[dict[str, dict[str, float]]]:
        """Give ``{metric: {label: value}}`` of each line."""
        metrics, found = outcomes.metrics, []
        for values in outcomes.values(metrics):
            key = values.tobytes()
            if key not in self._known:
                self._known[key] = nest(dict(zip(metrics, values, strict=True)))
            found.append(self._known[key])
        return found


def cell_by_prompt(outcomes: Outcomes, book: ScoreBook) -> dict[str, Any]:
    """Give ``texts``, ``metrics``, ``fluency`` and ``token_ids`` of one condition, by prompt."""
    table = outcomes.table
    prompts = table["prompt"].tolist()
    columns = {
        "texts": table["text"].tolist(),
        "metrics": book.scores(outcomes),
        "fluency": table["fluency"].tolist(),
        "token_ids": [list(ids) for ids in table["token_ids"]],
    }
    return {name: dict(zip(prompts, column, strict=True)) for name, column in columns.items()}


def cell_as_records(outcomes: Outcomes, book: ScoreBook) -> list[dict[str, Any]]:
    """Give ``prompt``, ``text``, ``metrics`` and ``fluency`` of each line of one condition."""
    table = outcomes.table
    columns = zip(
        table["prompt"], table["text"], book.scores(outcomes), table["fluency"], strict=True
    )
    return [
        {"prompt": prompt, "text": text, "metrics": metrics, "fluency": float(fluency)}
        for prompt, text, metrics, fluency in columns
    ]


def lines_of_cell(cell: Mapping[str, Any], **where: Any) -> Iterable[Line]:
    """Read a cell by prompt; fluency and tokens may be missing."""
    fluency, tokens = cell.get("fluency") or {}, cell.get("token_ids") or {}
    texts = cell.get("texts") or {}
    for prompt, metrics in cell["metrics"].items():
        yield {
            "prompt": prompt,
            **where,
            "text": texts.get(prompt, ""),
            "token_ids": tuple(tokens.get(prompt, ())),
            "fluency": fluency.get(prompt, np.nan),
            **flat(metrics),
        }


def lines_of_records(records: Iterable[Mapping[str, Any]], **where: Any) -> Iterable[Line]:
    """Read a list of records, each with its prompt; fluency may be missing."""
    for record in records:
        yield {
            "prompt": record["prompt"],
            **where,
            "text": record.get("text", ""),
            "token_ids": (),
            "fluency": record.get("fluency", np.nan),
            **flat(record["metrics"]),
        }


def flat(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Give nested scores by ``metric/label``; a score that is None is NaN.

    Older files hold some scores flat already, by ``metric/label`` or ``metric.label``.
    """
    found: dict[str, float] = {}
    for metric, labels in metrics.items():
        if isinstance(labels, Mapping):
            found |= {f"{metric}/{label}": _number(value) for label, value in labels.items()}
        else:
            found[metric if "/" in metric else metric.replace(".", "/", 1)] = _number(labels)
    return found


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
