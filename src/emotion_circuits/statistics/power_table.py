"""Power of what was done, and the samples that planned effects would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.statistics.effect_options import COLUMNS
from emotion_circuits.statistics.power import (
    detectable_between_groups,
    detectable_effect,
    detectable_shift,
    paired_power,
    required_groups,
    required_pairs,
    t_power,
    unpaired_power,
)

_GROUP: Final = ["profile", "phase", "model_name", "metric_name", "paired"]


def power_table(effects: pd.DataFrame, *, alpha: float, power_target: float) -> pd.DataFrame:
    """Add to each effect the power of its test.

    Where the samples of the test are clusters or random directions, power is that of the t-test
    with their degrees of freedom at the t that was seen, and the smallest effect is the one whose
    t this test would have found.

    Args:
        effects: What ``effect_table`` gives.
        alpha: Level of significance.
        power_target: For the smallest effect that these samples would have found.

    Returns:
        The same rows, with ``power`` (at the effect size that was seen) behind the columns of
        the contract and ``minimal_detectable_effect``, in units of ``cohen_d``, at the end.
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
    df = _degrees_of_freedom(effects)
    few = np.isfinite(df)
    t = _numbers(effects, "t_statistic")
    power[few] = t_power(t[few], df[few], alpha=alpha)
    for row in np.flatnonzero(few).tolist():
        # One standard error in units of d.
        unit = abs(d[row] / t[row]) if t[row] else np.nan
        least[row] = detectable_shift(int(df[row]), **settings) * unit
    table = effects.copy()
    table.insert(len(COLUMNS), "power", power)
    return table.assign(minimal_detectable_effect=least)


def power_requirements(
    effects: pd.DataFrame, *, effect_targets: Sequence[float], alpha: float, power_target: float
) -> list[dict[str, Any]]:
    """Say for each kind of comparison how many samples effects of given sizes would take.

    Texts of one cluster are alike, so that it takes more: as many times as clusters made the
    variance of the mean larger than texts alone (design effect, the median over the rows, at
    least 1). It does not count that few clusters leave few degrees of freedom. Where random
    directions are the samples, what is given is for the test over texts.

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
                factor = _design_effect(rows)
                n = math.ceil(factor * required_pairs(d, alpha=alpha, power=power_target) - 1e-9)
                requirements.append(
                    requirement | {"required_n_effective": n, "design_effect": factor}
                )
                continue
            ratio = _ratio(rows)
            control, treatment = required_groups(d, alpha=alpha, power=power_target, ratio=ratio)
            sizes = {"required_n_control": control, "required_n_treatment": treatment}
            requirements.append(requirement | {"ratio": ratio} | sizes)
    return requirements


def _numbers(effects: pd.DataFrame, name: str) -> Float[np.ndarray, " row"]:
    """Give a column as floats, NaN where it is empty."""
    return effects[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _degrees_of_freedom(effects: pd.DataFrame) -> Float[np.ndarray, " row"]:
    """Give those of tests whose samples are not texts; NaN where they are."""
    directions, clusters = (_numbers(effects, name) for name in ("n_random", "n_clusters"))
    return np.where(np.isfinite(directions), directions, clusters) - 1


def _design_effect(rows: pd.DataFrame) -> float:
    """Variance of the mean with clusters over that without; 1 where there are none."""
    prompts, own = (_numbers(rows, name) for name in ("t_statistic_prompts", "t_statistic"))
    t = np.where(rows["n_random"].notna().to_numpy(), prompts, own)
    known = rows["n_clusters"].notna().to_numpy() & np.isfinite(t) & (t != 0)
    if not known.any():
        return 1.0
    plain = _numbers(rows, "cohen_d")[known] * np.sqrt(_numbers(rows, "n_effective")[known])
    return max(1.0, float(np.median((plain / t[known]) ** 2)))


def _ratio(rows: pd.DataFrame) -> float:
    """Treatment samples per control sample, as they were; 1 where there were none."""
    filled = rows[(rows["n_baseline"] > 0) & (rows["n_patched"] > 0)]
    if filled.empty:
        return 1.0
    return float((filled["n_patched"].astype(float) / filled["n_baseline"].astype(float)).median())
