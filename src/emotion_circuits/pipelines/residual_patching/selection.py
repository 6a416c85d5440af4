"""Choosing a layer and a strength for each emotion, on one half of the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.pipelines.residual_patching.results import (
    FLUENCY,
    metric_keys,
    records_of,
    values_of,
)
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings


class Choice(NamedTuple):
    """What was chosen for an emotion.

    Attributes:
        layer: Counted from 0.
        alpha: The strength.
        mean_diff: In the emotion's own metric, on the choosing half.
        fluency_loss: Nats per token, on the choosing half.
        within_fluency: Whether any condition kept the loss within the limit; if none did, the
            one of the least loss was taken.
    """

    layer: int
    alpha: float
    mean_diff: float
    fluency_loss: float
    within_fluency: bool


def choose_conditions(
    sweep: Mapping[str, Any], settings: ResidualPatchingSettings
) -> dict[str, Choice]:
    """Choose what raises each emotion's own metric most without breaking the text.

    Only the prompts of ``sweep["halves"]["select"]`` are looked at.

    Args:
        sweep: The phase's residual sweep.
        settings: Target metrics, and the fluency that may be lost.

    Returns:
        A choice by emotion. Of equal conditions the first in the order of layers and strengths
        is taken.

    Raises:
        InputError: If a target metric does not exist.
    """
    keys = metric_keys(sweep)
    for key in settings.target_metrics.values():
        if key not in keys:
            raise unknown_name("target metric", key, keys)
    prompts = sweep["halves"]["select"]
    baseline = values_of(records_of(sweep["baseline"], prompts), keys).mean(axis=0)
    chosen = {}
    for emotion, layers in sweep["sweep_results"].items():
        own, fluency = keys.index(settings.target_metrics[emotion]), keys.index(FLUENCY)
        candidates = []
        for layer, alphas in layers.items():
            for alpha, cell in alphas.items():
                shift = values_of(records_of(cell, prompts), keys).mean(axis=0) - baseline
                within = bool(shift[fluency] <= settings.max_fluency_loss)
                candidates.append(
                    Choice(layer, alpha, float(shift[own]), float(shift[fluency]), within)
                )
        chosen[emotion] = _best(candidates)
    return chosen


def _best(candidates: list[Choice]) -> Choice:
    allowed = [candidate for candidate in candidates if candidate.within_fluency]
    if not candidates:
        raise InputError("no condition was run; give layers and alphas")
    if allowed:
        return max(allowed, key=lambda candidate: candidate.mean_diff)
    return min(candidates, key=lambda candidate: candidate.fluency_loss)
