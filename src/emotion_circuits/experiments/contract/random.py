"""``random_sweep``: continuations of the sweep's prompts under control directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from emotion_circuits.experiments.contract.nesting import (
    Line,
    ScoreBook,
    conditions_in_order,
    lines_of_records,
    nested,
    outcomes_of,
    walk,
)
from emotion_circuits.experiments.outcomes import BASELINE_KIND, UNSTEERED, Outcomes

# Key in the file for each kind of control.
_KEYS: Final = {
    "random": "random_results",
    "covariance": "covariance_results",
    "shuffled": "shuffled_results",
}


def nest_random_sweep(outcomes: Outcomes) -> dict[str, Any]:
    """Nest the outcomes of controls in the form of the file.

    Args:
        outcomes: Lines of the baseline; of kind ``emotion`` at the layers and strengths that have
            controls; of kind ``random`` (uniform orientation), ``covariance`` (the activations'
            covariance) and ``shuffled``, with their ``draw``; and of kind ``reseeded``, the
            baseline sampled with other seeds.

    Returns:
        ``random_results``, ``covariance_results`` and ``shuffled_results`` by emotion, layer, draw
        and strength; ``emotion_results`` by emotion, layer and strength; ``reseeded_results`` by
        draw; and ``baseline``. All hold lists of records with ``prompt``, ``text``, ``metrics``
        and ``fluency``.
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
        result: The file's content; all but ``random_results`` and ``emotion_results`` may be
            missing.

    Returns:
        Lines of kind ``baseline``, ``emotion``, ``random``, ``covariance``, ``shuffled`` and
        ``reseeded``.

    Raises:
        KeyError: If the result does not have the form of the file.
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
