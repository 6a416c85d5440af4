"""One model mapped into another that computes the same in a rotated stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from emotion_circuits.planted.recovery.checks import Check
from emotion_circuits.planted.truth import PlantedTruth


def check_alignment(
    truth: PlantedTruth,
    mapped: Mapping[str, Any],
    overlaps: pd.DataFrame,
    *,
    bar: float,
    shuffled_bar: float,
) -> Iterator[Check]:
    """Compare mapped vectors with the second model's directions, and overlaps with one and zero.

    Args:
        truth: What is known of the second model, which is the first one rotated.
        mapped: The first model's vectors in the second one, by emotion and pair of layers.
        overlaps: Table of overlaps.
        bar: Smallest cosine, and smallest overlap of the first directions.
        shuffled_bar: Largest mean overlap under maps of shuffled prompts.
    """
    first = overlaps[overlaps["k"] == 1].set_index(["layer_b", "emotion"])
    for index, (_, layer) in enumerate(mapped["metadata"]["layer_pairs"]):
        for emotion in truth.emotions:
            known = truth.direction(emotion, layer)
            if known is None:
                continue
            subject = f"{emotion}, layer {layer}"
            vector = np.asarray(mapped["emotion_vectors"][emotion][index])
            length = float(np.linalg.norm(vector))
            cosine = float(vector @ known) / length if length > 0 else float("nan")
            yield Check("mapped_cosine", subject, cosine, bar)
            line = first.loc[(layer, emotion)]
            yield Check("mapped_overlap", subject, float(line["overlap_after"]), bar)
            yield Check(
                "shuffled_overlap",
                *(subject, float(line["null_mean"]), shuffled_bar),
                at_least=False,
            )
