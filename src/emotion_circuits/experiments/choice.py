"""Choice of a layer and a strength for each emotion on one half of the prompts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import floor
from typing import Final, NamedTuple

import numpy as np

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.experiments.effects import mean_shift
from emotion_circuits.experiments.outcomes import FLUENCY, Outcomes

# The two choices of an emotion: among the layers that the headline may use, and among the rest.
HEADLINE: Final = "headline"
LAST_LAYERS: Final = "last_layers"


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


Choices = dict[str, dict[str, Choice]]  # by HEADLINE or LAST_LAYERS, then by emotion


def headline_layers(n_layers: int, layers_up_to: float) -> range:
    """Return the layers from which the headline may choose: the first share of a model's layers.

    Steering after the last layers is little more than choosing the next word, since few or no
    layers read what was added.

    Args:
        n_layers: Number of layers of the model.
        layers_up_to: Share of the layers, counted from the first one; above 0, at most 1.

    Returns:
        Layers 0 to ``layers_up_to`` times ``n_layers``, rounded down, but at least layer 0.
    """
    # Rounding must not take a layer away: in floats, 0.29 of 100 layers is 28.999999999999996.
    return range(max(1, floor(layers_up_to * n_layers + 1e-9)))


def check_headline_layers(layers: Collection[int], n_layers: int, layers_up_to: float) -> None:
    """Refuse a sweep without any layer from which the headline may choose.

    Args:
        layers: Layers that are steered.
        n_layers: Number of layers of the model.
        layers_up_to: As for ``headline_layers``.

    Raises:
        InputError: If no layer is among the headline's.
    """
    allowed = headline_layers(n_layers, layers_up_to)
    if layers and not set(layers) & set(allowed):
        steered = ", ".join(map(str, sorted(layers)))
        needed = (min(layers) + 1) / n_layers
        raise InputError(
            f"layers_up_to is {layers_up_to:g}: of {n_layers} layers the headline may choose "
            f"0 to {allowed[-1]}, and steered are only {steered}; steer one of these too, or set "
            f"layers_up_to to {needed:.3g} or more"
        )


def choose_by_depth(
    outcomes: Outcomes,
    target_metrics: Mapping[str, str],
    *,
    n_layers: int,
    layers_up_to: float,
    max_fluency_loss: float,
) -> Choices:
    """Choose twice for each emotion: for the headline, and among the last layers as a comparison.

    Args:
        outcomes: As for ``choose_conditions``.
        target_metrics: ``metric/label`` by emotion.
        n_layers: Number of layers of the model.
        layers_up_to: As for ``headline_layers``.
        max_fluency_loss: Largest allowed loss of fluency, in nats per token.

    Returns:
        ``headline``: choices among ``headline_layers``; ``last_layers``: choices among all other
        layers that were steered, empty if there is none.

    Raises:
        InputError: As ``choose_conditions``, or if no layer of the headline was steered.
    """
    steered = set(outcomes.where(kind="emotion").table["layer"].tolist())
    check_headline_layers(steered, n_layers, layers_up_to)
    early = set(headline_layers(n_layers, layers_up_to))
    parts = {HEADLINE: early, LAST_LAYERS: steered - early}
    return {
        name: choose_conditions(
            outcomes, target_metrics, max_fluency_loss=max_fluency_loss, layers=layers
        )
        if layers
        else {}
        for name, layers in parts.items()
    }


def choose_conditions(
    outcomes: Outcomes,
    target_metrics: Mapping[str, str],
    *,
    max_fluency_loss: float,
    layers: Collection[int] | None = None,
) -> dict[str, Choice]:
    """Choose the condition that raises each emotion's target metric most within a fluency limit.

    Only the prompts of the half ``select`` are used.

    Args:
        outcomes: Lines of the baseline, and of emotions steered at layers and strengths.
        target_metrics: ``metric/label`` by emotion.
        max_fluency_loss: Largest allowed loss of fluency, in nats per token.
        layers: Layers to choose from; None for all.

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
    if layers is not None:
        steered = steered.where(layer=set(layers))
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
