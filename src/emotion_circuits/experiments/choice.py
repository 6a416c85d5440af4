"""Choice of a layer and a strength for each emotion on one half of the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.experiments.effects import mean_shift
from emotion_circuits.experiments.outcomes import FLUENCY, Outcomes


class Choice(NamedTuple):
    """The layer and strength chosen for an emotion, with their effect on the choosing half.

    Attributes:
        layer: Counted from 0.
        alpha: The strength.
        mean_diff: Mean change of the emotion's target metric.
        fluency_loss: Mean loss of fluency, in nats per token.
        within_fluency: Whether the loss is within the limit. If no condition is, the one with the
            least loss is chosen.
    """

    layer: int
    alpha: float
    mean_diff: float
    fluency_loss: float
    within_fluency: bool


def choose_conditions(
    outcomes: Outcomes, target_metrics: Mapping[str, str], *, max_fluency_loss: float
) -> dict[str, Choice]:
    """Choose the condition that raises each emotion's target metric most within a fluency limit.

    Only the prompts of the half ``select`` are used.

    Args:
        outcomes: Lines of the baseline, and of emotions steered at layers and strengths.
        target_metrics: ``metric/label`` by emotion.
        max_fluency_loss: Largest allowed loss of fluency, in nats per token.

    Returns:
        A choice for each steered emotion. Ties go to the lowest layer, then the lowest strength.

    Raises:
        InputError: If a target metric does not exist, or no emotion was steered.
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
            _candidate(condition, select.baseline, own, max_fluency_loss, **coordinates)
            for coordinates, condition in of_emotion.groups(["layer", "alpha"])
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
