"""Comparisons of texts with and without a change of circuits, for the study's statistics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pandas as pd

from emotion_circuits.experiments.circuit_lines import (
    ABLATION,
    ALL_READINGS,
    CIRCUIT,
    MODULATION,
    OWN,
    PATCHING,
    RANDOM,
    readings_of,
)
from emotion_circuits.experiments.outcomes import metric_name
from emotion_circuits.statistics import Comparison, ComparisonKey, average_repeats

_CONDITION: Final = ["what", "mode", "emotion", "circuit", "direction", "label", "dose"]
_HEAD: Final = re.compile(r"a(\d+)\.h(\d+)")


def circuit_comparisons(lines: pd.DataFrame, profile: str, model: str) -> Iterator[Comparison]:
    """Compare continuations under each change of a circuit with those of the unchanged model.

    Steering and prompting are left out, since phase 5 has them, and so are modulations of random
    circuits and along random directions, which have their ranks in the table of equal cost.

    Args:
        lines: The content of ``<model>_circuit_interventions.csv``.
        profile: The lines' profile.
        model: The lines' model.
    """
    kept = lines[lines["what"].isin([ABLATION, PATCHING, MODULATION])]
    is_control = (kept["circuit"] != CIRCUIT) | (kept["direction"] != OWN)
    kept = kept[(kept["what"] != MODULATION) | ~is_control]
    for values, part in kept.groupby(_CONDITION, sort=False, dropna=False):
        where: dict[str, Any] = dict(zip(_CONDITION, values, strict=True))
        target = str(part["metric"].iloc[0]).replace(".", "/", 1)
        keys = readings_of(where["emotion"], target)
        for reading in ALL_READINGS:
            known = part[part[f"{reading}_value"].notna()]
            if not len(known):
                continue
            before, after = (
                average_repeats(known["prompt"].tolist(), known[f"{reading}_{end}"].tolist())
                for end in ("baseline", "value")
            )
            yield Comparison(_key(where, part, profile, model, keys[reading]), before, after)


def _key(
    where: dict[str, Any], part: pd.DataFrame, profile: str, model: str, reading: str
) -> ComparisonKey:
    head = _HEAD.fullmatch(str(where["circuit"]))
    variant = f"{where['what']} {where['mode']} {where['circuit']}"
    if where["what"] == ABLATION and where["label"] != where["emotion"]:
        variant += f" on {where['label']}"
    return ComparisonKey(
        profile=profile,
        phase="circuit",
        model_name=model,
        emotion=where["emotion"],
        layer=int(head[1]) if head else None,
        head=int(head[2]) if head else None,
        head_spec=" | ".join(dict.fromkeys(part["nodes"])),
        alpha=None if pd.isna(where["dose"]) else float(where["dose"]),
        comparison="patched_vs_neutral",
        metric_name=metric_name(reading),
        variant=variant,
        control=str(where["circuit"]).startswith(RANDOM),
    )
