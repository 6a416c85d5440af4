"""The study's claims of steering: what was chosen on one half of the prompts, over the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.outcomes import BASELINE_KIND, Outcomes
from emotion_circuits.statistics import Comparison

# Layer, strength and own metric (``metric.label``) of the condition chosen for each emotion.
Claims = Mapping[str, tuple[int, float, str]]

_HEADLINE = "headline"


def claims_of(selection: pd.DataFrame | None) -> dict[str, tuple[int, float, str]]:
    """Return the chosen layer, strength and own metric of each emotion.

    Args:
        selection: Phase 5's ``selection.csv``; None if it does not exist. If it has several
            choices per emotion, the one named ``headline`` in its column ``choice`` counts.
    """
    if selection is None:
        return {}
    if "choice" in selection:
        selection = selection[selection["choice"] == _HEADLINE]
    return {
        str(line["emotion"]): (int(line["layer"]), float(line["alpha"]), str(line["metric_name"]))
        for line in selection.to_dict("records")
    }


def chosen_outcomes(
    outcomes: Outcomes, claims: Claims, prompts: Collection[str], model: str
) -> Outcomes:
    """Keep the confirming half, and of the emotions' conditions only the chosen ones.

    Args:
        outcomes: Lines of the baseline or of controls, and lines of kind ``emotion``.
        claims: The result of ``claims_of``.
        prompts: The confirming half.
        model: Name of the model, for messages.

    Raises:
        InputError: If a chosen condition is not among the outcomes.
    """
    table = outcomes.where(prompt=set(prompts)).table
    chosen = {(emotion, layer, alpha) for emotion, (layer, alpha, _) in claims.items()}
    where = list(zip(table["emotion"], table["layer"], table["alpha"], strict=True))
    is_emotion = table["kind"] == "emotion"
    lost = chosen - {one for one, kept in zip(where, is_emotion, strict=True) if kept}
    if lost:
        emotion, layer, alpha = min(lost)
        raise InputError(
            f"{model}.residual_selection has {emotion} at layer {layer} and α {alpha:g}, where the "
            "sweep has no texts; run --pipelines=residual_patching again"
        )
    fits = pd.Series([one in chosen for one in where], index=table.index)
    return Outcomes(table[fits | (table["kind"] == BASELINE_KIND)])


def mark_claims(comparisons: Iterable[Comparison], claims: Claims) -> Iterator[Comparison]:
    """Mark as confirmatory the comparisons of an emotion's own metric at what was chosen for it.

    Args:
        comparisons: Comparisons over the confirming half.
        claims: The result of ``claims_of``.
    """
    for item in comparisons:
        key = item.key
        is_claim = claims.get(key.emotion) == (key.layer, key.alpha, key.metric_name)
        yield replace(item, key=key._replace(confirmatory=True)) if is_claim else item


def confirming_half(residual_sweep: Mapping[str, Any] | None) -> Collection[str] | None:
    """Return the prompts that chose nothing; None if the sweep does not know them."""
    halves = (residual_sweep or {}).get("halves") or {}
    prompts: Collection[str] | None = halves.get("confirm")
    return prompts or None
