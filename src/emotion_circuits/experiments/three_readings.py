"""Does a text say the word, or express the emotion? Three readings of each effect side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from emotion_circuits.evaluation import masked_key
from emotion_circuits.experiments.outcomes import metric_name

READINGS: Final = ("score", "masked", "markers")
# Name of the evaluator of kind markers in the included profiles.
_MARKERS: Final = "markers"
_OF_EFFECT: Final = (
    *("mean_baseline", "mean_diff", "ci_lower", "ci_upper"),
    *("cohen_d", "effect_size_ci_lower", "effect_size_ci_upper"),
)


def reading_keys(emotion: str, target: str) -> dict[str, str]:
    """Return the score that each reading of an emotion is.

    Args:
        emotion: Name of the emotion.
        target: Its metric, as ``metric/label``.
    """
    keys = (target, masked_key(target), f"{_MARKERS}/{emotion}")
    return dict(zip(READINGS, keys, strict=True))


def three_readings(
    effects: pd.DataFrame, targets: Mapping[str, str], *, condition: str, emotion: str = "emotion"
) -> pd.DataFrame:
    """Put an emotion's score, its score with emotion words masked, and its marker rate together.

    A classifier's score may only say that an emotion word was written. If the effect on the masked
    score is small and that on the rate of markers is large, the text says the word; if most of the
    effect is left with words masked, the text expresses the emotion in other ways.

    Args:
        effects: Effects with one line per condition and score, with ``metric_name``.
        targets: Each emotion's metric, as ``metric/label``.
        condition: Column that names the condition.
        emotion: Column of the emotion.

    Returns:
        One line per emotion, condition and reading: ``emotion``, ``condition``, ``reading`` (one
        of ``READINGS``), ``metric_name``, ``n``, baseline, change and d with their intervals, and
        ``fluency_loss``. Readings that the study's evaluators do not give are left out: a masked
        score needs ``masked: true``, and markers an evaluator of that name.

    Source: Keyword-rich against keyword-free texts, arXiv:2604.23719.
    """
    parts = []
    for name, target in targets.items():
        for reading, key in reading_keys(name, target).items():
            of_reading = effects["metric_name"] == metric_name(key)
            found = effects[(effects[emotion] == name) & of_reading]
            parts.append(found.assign(emotion=name, condition=found[condition], reading=reading))
    columns = ["emotion", "condition", "reading", "metric_name", "n", *_OF_EFFECT, "fluency_loss"]
    return pd.concat(parts, ignore_index=True)[columns]
