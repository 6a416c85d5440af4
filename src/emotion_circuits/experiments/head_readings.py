"""Does a change of heads move the emotion's words, or its expression? Three readings of each."""

from __future__ import annotations

from typing import Final

import pandas as pd

from emotion_circuits.experiments.head_sets import CHOSEN, RANDOM, kind_of_set
from emotion_circuits.experiments.shares import Resampling, mean_with_interval
from emotion_circuits.experiments.three_readings import READINGS
from emotion_circuits.prompts import CLUSTER

_WAY: Final = ["what", "emotion", "direction", "mode", "ablation"]


def recovered_by(reading: str) -> str:
    """Return the column of what is recovered in one of the three readings."""
    return "recovered" if reading == READINGS[0] else f"recovered_{reading}"


def reading_table(tidy: pd.DataFrame, *, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Put what the chosen heads move in an emotion's score, masked score and marker rate together.

    Args:
        tidy: Head patching's table of pairs, with what each reading recovers (``recovered_by``).
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        One line per combination, emotion and reading (see ``three_readings``) that the study's
        evaluators give: ``recovered``, the mean over pairs with its 95 % interval over templates;
        ``random_recovered``, the mean of random sets; ``n_pairs``, ``n_clusters`` and the
        ``fluency_loss`` of the chosen heads with its interval.
    """
    lines = []
    kinds = tidy["head_set"].map(kind_of_set)
    for keys, part in tidy[kinds == CHOSEN].groupby(_WAY, sort=False):
        where = dict(zip(_WAY, keys, strict=True))
        same = (tidy[_WAY] == pd.Series(where)).all(axis=1)
        random = tidy[same & (kinds == RANDOM)]
        resampling = Resampling(n_bootstrap, seed, part[CLUSTER].tolist())
        cost = mean_with_interval(part["fluency_loss"].to_numpy(), "fluency_loss", resampling)
        for reading in READINGS:
            column = recovered_by(reading)
            if part[column].isna().all():
                continue
            lines.append(
                {**where, "reading": reading}
                | {"n_pairs": len(part), "n_clusters": part[CLUSTER].nunique()}
                | mean_with_interval(part[column].to_numpy(), "recovered", resampling)
                | {"random_recovered": float(random[column].mean())}
                | cost
            )
    table = pd.DataFrame(lines)
    table.insert(0, "model_name", tidy["model_name"].iloc[0])
    return table
