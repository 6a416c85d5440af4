"""``<model>_circuit_interventions.csv``: one line for each prompt under each condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from emotion_circuits.experiments.outcomes import (
    BASELINE_KIND,
    FLUENCY,
    Outcomes,
    metric_name,
)
from emotion_circuits.experiments.reactions import Reactions
from emotion_circuits.experiments.three_readings import READINGS, reading_keys
from emotion_circuits.interventions import Row

# What is done, in the column ``what``.
ABLATION: Final = "ablation"
PATCHING: Final = "patching"
MODULATION: Final = "modulation"
STEERING: Final = "steering"
PROMPTING: Final = "prompting"
# What it is done to, in the column ``circuit``: the circuit, ``random 0`` and so on, or one node.
CIRCUIT: Final = "circuit"
RANDOM: Final = "random"
# Along what, in the column ``direction`` of modulations: the emotion's own direction, or
# ``isotropic 0`` or ``covariance 0`` and so on.
OWN: Final = "emotion"
ISOTROPIC: Final = "isotropic"
COVARIANCE: Final = "covariance"

PREFERENCE: Final = "preference"
# All that is read of a text; the cost is ``fluency``.
ALL_READINGS: Final = (*READINGS, PREFERENCE, "fluency")
_WHERE: Final = (
    *("what", "mode", "emotion", "circuit", "direction", "nodes", "layer", "dose"),
    *("prompt_index", "other_index", "label", "pair_id", "cluster", "half", "prompt", "text"),
)


def readings_of(emotion: str, target: str) -> dict[str, str]:
    """Return each reading's score, as ``metric/label``.

    Args:
        emotion: Name of the emotion.
        target: Its metric, as ``metric/label``.
    """
    own = {PREFERENCE: f"{PREFERENCE}/reaction", "fluency": FLUENCY}
    return reading_keys(emotion, target) | own


def reading_lines(
    outcomes: Outcomes,
    baseline: Outcomes,
    targets: Mapping[str, str],
    model_name: str,
    other: Outcomes | None = None,
) -> pd.DataFrame:
    """Put each text's readings beside those of the unchanged text after the same prompt.

    Args:
        outcomes: Lines of interventions, with their ``emotion``; lines of the baseline are left
            out.
        baseline: One line per prompt without an intervention.
        targets: ``metric/label`` by emotion.
        model_name: Name of the model.
        other: Baseline in which ``other_index`` counts lines; None if prompts have no partners.

    Returns:
        Coordinates, ``metric`` (the target) and for each reading ``<reading>_baseline``,
        ``<reading>_value`` and ``<reading>_other`` (of the unchanged text after the other prompt of
        the pair); NaN where a reading was not taken. Readings are those of ``three_readings``,
        ``preference`` and ``fluency`` (nats per token).
    """
    changed = Outcomes(outcomes.table[outcomes.table["kind"] != BASELINE_KIND])
    table = changed.table.reset_index(drop=True).rename(columns={"kind": "what"})
    place = {prompt: line for line, prompt in enumerate(baseline.table["prompt"])}
    at = table["prompt"].map(place).to_numpy()
    for name in _WHERE:
        if name not in table:
            table[name] = np.nan
    lines = table[list(_WHERE)].copy()
    lines.insert(0, "model_name", model_name)
    lines["metric"] = table["emotion"].map(
        {name: metric_name(key) for name, key in targets.items()}
    )
    for reading in ALL_READINGS:
        columns = np.full((3, len(table)), np.nan)
        for emotion, target in targets.items():
            key = readings_of(emotion, target)[reading]
            own = (table["emotion"] == emotion).to_numpy()
            if key not in changed.keys:
                continue
            columns[0, own] = baseline.values([key])[at[own], 0]
            columns[1, own] = changed.values([key])[own, 0]
            if other is not None:
                partner = table["other_index"].to_numpy(dtype=int)
                columns[2, own] = other.values([key])[partner[own], 0]
        for end, values in zip(("baseline", "value", "other"), columns, strict=True):
            lines[f"{reading}_{end}"] = values
    return lines


def add_preferences(lines: pd.DataFrame, rows: list[Row], reactions: Reactions) -> pd.DataFrame:
    """Read by how much each changed run prefers the emotional reaction to the neutral one.

    A text's score is bounded, and often unmoved by one node; this reading is neither.

    Args:
        lines: The result of ``reading_lines`` for ablations and patches.
        rows: The row of each line.
        reactions: The unpatched reactions to the pairs' prompts.

    Returns:
        The lines with ``preference_…`` in nats per token, where the changed prompt shows the
        effect: for ablations the emotional one, for patches the neutral one.
    """
    of_emotion = (lines["label"] == lines["emotion"]).to_numpy()
    shows = np.flatnonzero(
        ((lines["what"] == ABLATION) & of_emotion) | (lines["what"] == PATCHING).to_numpy()
    ).tolist()
    indices = zip(lines["prompt_index"], lines["other_index"], of_emotion, strict=True)
    pairs = [
        (int(index), int(other)) if emotional else (int(other), int(index))
        for index, other, emotional in indices
    ]
    values = reactions.preferences(
        [rows[line] for line in shows],
        [pairs[line] for line in shows],
        progress=f"{reactions.prompts.model.name} reactions",
    )
    read = np.full((3, len(lines)), np.nan)
    read[1, shows] = values
    for line in shows:
        own, neutral = reactions.unpatched[pairs[line]]
        read[[0, 2], line] = (own, neutral) if of_emotion[line] else (neutral, own)
    names = [f"{PREFERENCE}_{end}" for end in ("baseline", "value", "other")]
    return lines.assign(**dict(zip(names, read, strict=True)))
