"""Effects of steering with recovered vectors, against where the circuit reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from emotion_circuits.planted.recovery.checks import Check
from emotion_circuits.planted.truth import PlantedTruth


def check_steering(
    truth: PlantedTruth,
    sweep: Mapping[str, Any],
    *,
    alpha: float,
    bar: float,
    nothing_bar: float,
) -> Iterator[Check]:
    """Compare shares of reactions under steering with those that the circuit must give.

    Args:
        truth: What is known.
        sweep: Result of residual patching, scored by the share of words that are reactions.
        alpha: Strength, in lengths of the vector.
        bar: Smallest share of words where the vector steers.
        nothing_bar: Largest share where nothing reads the vector, and of other emotions' words.
    """
    for known in truth.directions:
        cell = sweep["sweep_results"].get(known.emotion, {}).get(known.layer)
        if known.steers is None or cell is None:
            continue
        shares = {
            emotion: float(
                np.mean([each["markers"][emotion] for each in cell[alpha]["metrics"].values()])
            )
            for emotion in truth.emotions
        }
        subject = f"{known.emotion}, layer {known.layer}"
        if known.steers:
            yield Check("steered_share", subject, shares[known.emotion], bar)
        else:
            share = shares[known.emotion]
            yield Check("steered_nothing", subject, share, nothing_bar, at_least=False)
        others = [share for emotion, share in shares.items() if emotion != known.emotion]
        if others:
            yield Check("steered_others", subject, max(others), nothing_bar, at_least=False)
