"""``residual_sweep``: continuations under each emotion, layer and strength."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from emotion_circuits.experiments.contract.cells import (
    Line,
    ScoreBook,
    cell_by_prompt,
    lines_of_cell,
)
from emotion_circuits.experiments.effects import HALVES
from emotion_circuits.experiments.outcomes import BASELINE_KIND, Outcomes


def nest_residual_sweep(outcomes: Outcomes) -> dict[str, Any]:
    """Give the outcomes of a sweep as the file holds them.

    Args:
        outcomes: The baseline, and lines of kind ``emotion`` with ``emotion``, ``layer``,
            ``alpha`` and ``half``.

    Returns:
        ``prompts``; ``baseline``; ``sweep_results`` by emotion, layer and strength, each with
        ``texts``, ``metrics``, ``fluency`` and ``token_ids`` by prompt; ``halves``.
    """
    book = ScoreBook()
    baseline = outcomes.baseline
    nested: dict[str, Any] = {}
    for where, condition in sorted_conditions(outcomes.where(kind="emotion")):
        layers = nested.setdefault(where["emotion"], {})
        cells = layers.setdefault(int(where["layer"]), {})
        cells[float(where["alpha"])] = cell_by_prompt(condition, book)
    return {
        "prompts": baseline.table["prompt"].tolist(),
        "baseline": cell_by_prompt(baseline, book),
        "sweep_results": nested,
        "halves": {half: baseline.where(half=half).table["prompt"].tolist() for half in HALVES},
    }


def sorted_conditions(outcomes: Outcomes) -> Iterator[tuple[dict[str, Any], Outcomes]]:
    """Give conditions by layer, draw and strength within each emotion, which keep their order."""
    by = ["emotion", "layer", "draw", "alpha"]
    rank = {emotion: place for place, emotion in enumerate(outcomes.table["emotion"].unique())}
    groups = list(outcomes.groups(by))
    groups.sort(key=lambda group: (rank[group[0]["emotion"]], *list(group[0].values())[1:]))
    yield from groups


def read_residual_sweep(result: Mapping[str, Any]) -> Outcomes:
    """Read a sweep, of this program or of the older implementation.

    Args:
        result: With ``baseline`` and ``sweep_results``; halves, fluency, texts and tokens may be
            missing.

    Returns:
        Baseline lines, then those of each emotion, layer and strength, with ``half`` (empty where
        the file has none).

    Raises:
        KeyError: If it has not the form of the file.
    """
    half_of = {
        prompt: name for name, prompts in (result.get("halves") or {}).items() for prompt in prompts
    }

    def lines() -> Iterator[Line]:
        nothing = {"emotion": "", "layer": None, "draw": 0, "alpha": None}
        yield from lines_of_cell(result["baseline"], kind=BASELINE_KIND, **nothing)
        for emotion, layers in result["sweep_results"].items():
            for layer, alphas in layers.items():
                for alpha, cell in alphas.items():
                    where = {"emotion": str(emotion), "layer": int(layer), "draw": 0}
                    yield from lines_of_cell(cell, kind="emotion", **where, alpha=float(alpha))

    return outcomes_of(lines(), half_of)


def outcomes_of(lines: Iterator[Line], half_of: Mapping[str, str] | None = None) -> Outcomes:
    """Put lines that were read from a file into a table."""
    table = pd.DataFrame(list(lines))
    if half_of is not None and len(table):
        table.insert(1, "half", table["prompt"].map(half_of).fillna(""))
    return Outcomes(table.astype({n: "Int64" for n in ("layer", "head") if n in table}))
