"""``residual_sweep``: continuations under each emotion, layer and strength."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emotion_circuits.experiments.contract.nesting import (
    Line,
    ScoreBook,
    conditions_in_order,
    lines_of_cell,
    nested,
    outcomes_of,
    walk,
)
from emotion_circuits.experiments.effects import HALVES
from emotion_circuits.experiments.outcomes import BASELINE_KIND, UNSTEERED, Outcomes
from emotion_circuits.prompts import CLUSTER


def nest_residual_sweep(outcomes: Outcomes) -> dict[str, Any]:
    """Nest the outcomes of a sweep in the form of the file.

    Args:
        outcomes: Lines of the baseline, and lines of kind ``emotion`` with ``emotion``,
            ``layer``, ``alpha``, ``half`` and, if known, ``cluster``.

    Returns:
        ``prompts``; ``baseline``; ``sweep_results`` by emotion, layer and strength, each with
        ``texts``, ``metrics``, ``fluency`` and ``token_ids`` by prompt; ``halves``; ``clusters`` by
        prompt.
    """
    book, baseline = ScoreBook(), outcomes.baseline
    conditions = conditions_in_order(outcomes.where(kind="emotion"))
    return {
        "prompts": baseline.table["prompt"].tolist(),
        "baseline": book.cell(baseline),
        "sweep_results": nested(
            ((emotion, layer, alpha), book.cell(lines))
            for (emotion, layer, _, alpha), lines in conditions
        ),
        "halves": {half: baseline.where(half=half).table["prompt"].tolist() for half in HALVES},
        "clusters": _clusters(baseline),
    }


def _clusters(baseline: Outcomes) -> dict[str, str]:
    prompts = baseline.table["prompt"]
    return dict(zip(prompts, baseline.table.get(CLUSTER, prompts), strict=True))


def read_residual_sweep(result: Mapping[str, Any]) -> Outcomes:
    """Read a sweep, of this program or of the older implementation.

    Args:
        result: The file's content with ``baseline`` and ``sweep_results``; halves, clusters,
            fluency, texts and tokens may be missing.

    Returns:
        Lines of the baseline, then of each emotion, layer and strength, with ``half`` (empty if
        the file has no halves) and ``cluster`` (the prompt itself if the file has no clusters).

    Raises:
        KeyError: If the result does not have the form of the file.
    """
    halves = walk(result.get("halves") or {}, 1)
    half_of = {prompt: name for (name,), prompts in halves for prompt in prompts}

    def lines() -> Iterator[Line]:
        yield from lines_of_cell(result["baseline"], kind=BASELINE_KIND, **UNSTEERED)
        for (emotion, layer, alpha), cell in walk(result["sweep_results"], 3):
            where = {"emotion": str(emotion), "layer": int(layer), "alpha": float(alpha)}
            yield from lines_of_cell(cell, kind="emotion", draw=0, **where)

    table = outcomes_of(lines()).table
    clusters = result.get("clusters") or {}
    table.insert(1, "half", [half_of.get(prompt, "") for prompt in table["prompt"]])
    table.insert(2, CLUSTER, [clusters.get(prompt, prompt) for prompt in table["prompt"]])
    return Outcomes(table)
