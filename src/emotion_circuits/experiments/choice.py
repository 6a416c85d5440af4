"""Choosing a layer and a strength for each emotion, on one half of the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.experiments.effects import mean_shift
from emotion_circuits.experiments.outcomes import FLUENCY, Outcomes


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
    outcomes: Outcomes, target_metrics: Mapping[str, str], *, max_fluency_loss: float
) -> dict[str, Choice]:
    """Choose what raises each emotion's own metric most without breaking the text.

    Only the prompts of the half ``select`` are looked at.

    Args:
        outcomes: The baseline, and the emotions' vectors at several layers and strengths.
        target_metrics: ``metric/label`` by emotion.
        max_fluency_loss: Nats per token that the choice may cost.

    Returns:
        A choice for each emotion that was steered. Of equal conditions the first in the order of
        layers and strengths is taken.

    Raises:
        InputError: If a target metric does not exist, or nothing was steered.
    """
    keys = outcomes.keys
    for key in target_metrics.values():
        if key not in keys:
            raise unknown_name("target metric", key, keys)
    select = outcomes.where(half="select")
    steered = select.where(kind="emotion")
    if not len(steered):
        raise InputError("no condition was run; give layers and alphas")
    chosen = {}
    for where, of_emotion in steered.groups(["emotion"]):
        own = [target_metrics[where["emotion"]], FLUENCY]
        candidates = [
            _candidate(condition, select.baseline, own, max_fluency_loss, **place)
            for place, condition in of_emotion.groups(["layer", "alpha"])
        ]
        chosen[where["emotion"]] = _best(candidates)
    return chosen


def _candidate(
    condition: Outcomes,
    baseline: Outcomes,
    keys: list[str],
    max_fluency_loss: float,
    *,
    layer: int,
    alpha: float,
) -> Choice:
    own, loss = mean_shift(condition, baseline, keys).tolist()
    return Choice(int(layer), float(alpha), own, loss, bool(np.less_equal(loss, max_fluency_loss)))


def _best(candidates: list[Choice]) -> Choice:
    candidates = sorted(candidates, key=lambda candidate: (candidate.layer, candidate.alpha))
    allowed = [candidate for candidate in candidates if candidate.within_fluency]
    if allowed:
        return max(allowed, key=lambda candidate: candidate.mean_diff)
    return min(candidates, key=lambda candidate: candidate.fluency_loss)
