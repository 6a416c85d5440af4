"""Power of what was done, and the samples that planned effects would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.statistics.effect_options import COLUMNS
from emotion_circuits.statistics.power import (
    detectable_between_groups,
    detectable_effect,
    paired_power,
    required_groups,
    required_pairs,
    unpaired_power,
)

_GROUP: Final = ["profile", "phase", "model_name", "metric_name", "paired"]


def power_table(effects: pd.DataFrame, *, alpha: float, power_target: float) -> pd.DataFrame:
    """Add to each effect the power of its test.

    Args:
        effects: What ``effect_table`` gives.
        alpha: Level of significance.
        power_target: For the smallest effect that these samples would have found.

    Returns:
        The same rows, with ``power`` (at the effect size that was seen) behind the columns of
        the contract and ``minimal_detectable_effect`` at the end.
    """
    paired = effects["paired"].to_numpy(dtype=bool)
    d, n_0, n_1 = (
        effects[name].to_numpy(dtype=np.float64) for name in ("cohen_d", "n_baseline", "n_patched")
    )
    power, least = np.full(len(effects), np.nan), np.full(len(effects), np.nan)
    power[paired] = paired_power(d[paired], n_0[paired].astype(np.int64), alpha=alpha)
    power[~paired] = unpaired_power(d[~paired], n_0[~paired], n_1[~paired], alpha=alpha)
    settings = {"alpha": alpha, "power": power_target}
    for row in range(len(effects)):
        least[row] = (
            detectable_effect(int(n_0[row]), **settings)
            if paired[row]
            else detectable_between_groups(int(n_0[row]), int(n_1[row]), **settings)
        )
    table = effects.copy()
    table.insert(len(COLUMNS), "power", power)
    return table.assign(minimal_detectable_effect=least)


def power_requirements(
    effects: pd.DataFrame, *, effect_targets: Sequence[float], alpha: float, power_target: float
) -> list[dict[str, Any]]:
    """Say for each kind of comparison how many samples effects of given sizes would take.

    Args:
        effects: What ``effect_table`` gives.
        effect_targets: Values of Cohen's d.
        alpha: Level of significance of a single test.
        power_target: Chance to find the effect.
    """
    requirements = []
    for key, rows in effects.groupby(_GROUP, sort=True):
        for d in effect_targets:
            requirement = dict(zip(_GROUP, key, strict=True)) | {
                "target_effect_size": d,
                "target_power": power_target,
                "alpha": alpha,
            }
            requirement["paired"] = bool(requirement["paired"])
            if requirement["paired"]:
                n = required_pairs(d, alpha=alpha, power=power_target)
                requirements.append(requirement | {"required_n_effective": n})
                continue
            ratio = _ratio(rows)
            control, treatment = required_groups(d, alpha=alpha, power=power_target, ratio=ratio)
            sizes = {"required_n_control": control, "required_n_treatment": treatment}
            requirements.append(requirement | {"ratio": ratio} | sizes)
    return requirements


def _ratio(rows: pd.DataFrame) -> float:
    """Treatment samples per control sample, as they were; 1 where there were none."""
    filled = rows[(rows["n_baseline"] > 0) & (rows["n_patched"] > 0)]
    if filled.empty:
        return 1.0
    return float((filled["n_patched"].astype(float) / filled["n_baseline"].astype(float)).median())
