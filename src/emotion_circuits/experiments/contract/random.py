"""``random_sweep``: the same prompts under directions that should do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from emotion_circuits.experiments.contract.nesting import (
    UNSTEERED,
    Line,
    ScoreBook,
    conditions_in_order,
    lines_of_records,
    nested,
    outcomes_of,
    walk,
)
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
    controls = {
        key: nested(
            (where, book.records(lines))
            for where, lines in conditions_in_order(outcomes.where(kind=kind))
        )
        for kind, key in _KEYS.items()
    }
    emotions = nested(
        ((emotion, layer, alpha), book.records(lines))
        for (emotion, layer, _, alpha), lines in conditions_in_order(outcomes.where(kind="emotion"))
    )
    reseeded = outcomes.where(kind="reseeded").groups(["draw"])
    return controls | {
        "emotion_results": emotions,
        "baseline": book.records(outcomes.baseline),
        "reseeded_results": [book.records(lines) for _, lines in reseeded],
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
        yield from lines_of_records(result.get("baseline") or (), kind=BASELINE_KIND, **UNSTEERED)
        for (emotion, layer, alpha), records in walk(result["emotion_results"], 3):
            where = {"emotion": str(emotion), "layer": int(layer), "draw": 0, "alpha": float(alpha)}
            yield from lines_of_records(records, kind="emotion", **where)
        for kind, key in _KEYS.items():
            tree = result[key] if kind == "random" else result.get(key) or {}
            for (emotion, layer, draw, alpha), records in walk(tree, 4):
                where = {"emotion": str(emotion), "layer": int(layer), "draw": int(draw)}
                yield from lines_of_records(records, kind=kind, **where, alpha=float(alpha))
        for draw, records in enumerate(result.get("reseeded_results") or ()):
            where = {**UNSTEERED, "draw": draw}
            yield from lines_of_records(records, kind="reseeded", **where)

    return outcomes_of(lines())
