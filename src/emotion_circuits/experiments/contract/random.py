"""``random_sweep``: the same prompts under directions that should do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from emotion_circuits.experiments.contract.cells import (
    Line,
    ScoreBook,
    cell_as_records,
    lines_of_records,
)
from emotion_circuits.experiments.contract.residual import outcomes_of, sorted_conditions
from emotion_circuits.experiments.outcomes import BASELINE_KIND, Outcomes

# Kinds of directions, and the key of the file that holds each.
_KEYS: Final = {"random": "random_results", "shuffled": "shuffled_results"}


def nest_random_sweep(outcomes: Outcomes) -> dict[str, Any]:
    """Give the outcomes of controls as the file holds them.

    Args:
        outcomes: The baseline; lines of kind ``emotion`` at the layers and strengths that have
            controls; lines of kind ``random`` and ``shuffled`` with their ``draw``; and lines of
            kind ``reseeded``, the baseline drawn again.

    Returns:
        ``random_results`` and ``shuffled_results`` by emotion, layer, draw and strength,
        ``emotion_results`` by emotion, layer and strength: lists of ``prompt``, ``text``,
        ``metrics`` and ``fluency``; ``baseline`` and ``reseeded_results`` likewise.
    """
    book = ScoreBook()
    found: dict[str, Any] = {}
    for kind, key in _KEYS.items():
        nested: dict[str, Any] = {}
        for where, condition in sorted_conditions(outcomes.where(kind=kind)):
            draws = nested.setdefault(where["emotion"], {}).setdefault(int(where["layer"]), {})
            cells = draws.setdefault(int(where["draw"]), {})
            cells[float(where["alpha"])] = cell_as_records(condition, book)
        found[key] = nested
    emotions: dict[str, Any] = {}
    for where, condition in sorted_conditions(outcomes.where(kind="emotion")):
        cells = emotions.setdefault(where["emotion"], {}).setdefault(int(where["layer"]), {})
        cells[float(where["alpha"])] = cell_as_records(condition, book)
    reseeded = outcomes.where(kind="reseeded").groups(["draw"])
    return found | {
        "emotion_results": emotions,
        "baseline": cell_as_records(outcomes.baseline, book),
        "reseeded_results": [cell_as_records(lines, book) for _, lines in reseeded],
    }


def read_random_sweep(result: Mapping[str, Any]) -> Outcomes:
    """Read controls, of this program or of the older implementation.

    Args:
        result: With ``random_results`` and ``emotion_results``; the rest may be missing.

    Returns:
        Lines of kind ``baseline``, ``emotion``, ``random``, ``shuffled`` and ``reseeded``.

    Raises:
        KeyError: If it has not the form of the file.
    """

    def lines() -> Iterator[Line]:
        nothing = {"emotion": "", "layer": None, "alpha": None}
        baseline = result.get("baseline") or ()
        yield from lines_of_records(baseline, kind=BASELINE_KIND, draw=0, **nothing)
        for where, records in _emotions(result["emotion_results"]):
            yield from lines_of_records(records, kind="emotion", **where, draw=0)
        for kind, key in _KEYS.items():
            nested = result[key] if kind == "random" else result.get(key) or {}
            for where, records in _draws(nested):
                yield from lines_of_records(records, kind=kind, **where)
        for draw, records in enumerate(result.get("reseeded_results") or ()):
            yield from lines_of_records(records, kind="reseeded", draw=draw, **nothing)

    return outcomes_of(lines())


def _emotions(nested: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    for emotion, layers in nested.items():
        for layer, alphas in layers.items():
            for alpha, records in alphas.items():
                where = {"emotion": str(emotion), "layer": int(layer), "alpha": float(alpha)}
                yield where, records


def _draws(nested: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    for emotion, layers in nested.items():
        for layer, draws in layers.items():
            for draw, alphas in draws.items():
                for alpha, records in alphas.items():
                    where = {"emotion": str(emotion), "layer": int(layer), "draw": int(draw)}
                    yield where | {"alpha": float(alpha)}, records
