"""Power of the tests in a table of effects, and sample sizes for planned effects."""

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

    If the samples of the test are clusters or random directions, power is that of the t-test with
    their degrees of freedom at the observed t, and the minimal effect is the one that this t-test
    detects.

    Args:
        effects: The result of ``effect_table``.
        alpha: Level of significance.
        power_target: Power at which an effect counts as detectable.

    Returns:
        The same lines, with ``power`` (at the observed effect size) after ``COLUMNS`` and
        ``minimal_detectable_effect``, in units of ``cohen_d``, at the end.
    """
    paired = effects["paired"].to_numpy(dtype=bool)
    d, n_0, n_1 = (
        effects[name].to_numpy(dtype=np.float64) for name in ("cohen_d", "n_baseline", "n_patched")
    )
    power, least = np.full(len(effects), np.nan), np.full(len(effects), np.nan)
    power[paired] = paired_power(d[paired], n_0[paired].astype(np.int64), alpha=alpha)
    power[~paired] = unpaired_power(d[~paired], n_0[~paired], n_1[~paired], alpha=alpha)
    settings = {"alpha": alpha, "power": power_target}
    for index in range(len(effects)):
        least[index] = (
            detectable_effect(int(n_0[index]), **settings)
            if paired[index]
            else detectable_between_groups(int(n_0[index]), int(n_1[index]), **settings)
        )
    df = _degrees_of_freedom(effects)
    few = np.isfinite(df)
    t = _numbers(effects, "t_statistic")
    power[few] = t_power(t[few], df[few], alpha=alpha)
    for index in np.flatnonzero(few).tolist():
        # The standard error in units of d.
        unit = abs(d[index] / t[index]) if t[index] else np.nan
        least[index] = detectable_shift(float(df[index]), **settings) * unit
    table = effects.copy()
    table.insert(len(COLUMNS), "power", power)
    return table.assign(minimal_detectable_effect=least)


def power_requirements(
    effects: pd.DataFrame, *, effect_targets: Sequence[float], alpha: float, power_target: float
) -> list[dict[str, Any]]:
    """Return for each kind of comparison the numbers of samples that planned effects require.

    With clusters, the number of texts is multiplied by the design effect: the factor by which
    clusters increase the variance of the mean, as the median over comparisons, at least 1. The few
    degrees of freedom of few clusters are not taken into account. If random directions are the
    samples, the numbers are for the test over texts.

    Args:
        effects: The result of ``effect_table``.
        effect_targets: Values of Cohen's d.
        alpha: Level of significance of a single test.
        power_target: Probability of detecting the effect.
    """
    requirements = []
    for key, lines in effects.groupby(_GROUP, sort=True):
        for d in effect_targets:
            requirement = dict(zip(_GROUP, key, strict=True)) | {
                "target_effect_size": d,
                "target_power": power_target,
                "alpha": alpha,
            }
            requirement["paired"] = bool(requirement["paired"])
            factor = _design_effect(lines)
            if requirement["paired"]:
                n = math.ceil(factor * required_pairs(d, alpha=alpha, power=power_target) - 1e-9)
                requirements.append(
                    requirement | {"required_n_effective": n, "design_effect": factor}
                )
                continue
            ratio = _ratio(lines)
            needed = required_groups(d, alpha=alpha, power=power_target, ratio=ratio)
            control, treatment = (math.ceil(factor * n - 1e-9) for n in needed)
            sizes = {"required_n_control": control, "required_n_treatment": treatment}
            requirements.append(requirement | {"ratio": ratio, "design_effect": factor} | sizes)
    return requirements


def _numbers(effects: pd.DataFrame, name: str) -> Float[np.ndarray, " row"]:
    """Return a column as floats, with NaN for missing values."""
    return effects[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _degrees_of_freedom(effects: pd.DataFrame) -> Float[np.ndarray, " row"]:
    """Return degrees of freedom of tests over clusters or directions; NaN for tests over texts."""
    directions, clusters = (_numbers(effects, name) for name in ("n_random", "n_clusters"))
    over_others = np.isfinite(directions) | np.isfinite(clusters)
    return np.where(over_others, _numbers(effects, "degrees_of_freedom"), np.nan)


def _design_effect(lines: pd.DataFrame) -> float:
    """Return the variance of the mean with clusters over that without; 1 without clusters."""
    prompts, own = (_numbers(lines, name) for name in ("t_statistic_prompts", "t_statistic"))
    t = np.where(lines["n_random"].notna().to_numpy(), prompts, own)
    known = lines["n_clusters"].notna().to_numpy() & np.isfinite(t) & (t != 0)
    if not known.any():
        return 1.0
    plain = _numbers(lines, "cohen_d")[known] * np.sqrt(_numbers(lines, "n_effective")[known])
    return max(1.0, float(np.median((plain / t[known]) ** 2)))


def _ratio(lines: pd.DataFrame) -> float:
    """Return the median number of treatment samples per control sample; 1 without samples."""
    filled = lines[(lines["n_baseline"] > 0) & (lines["n_patched"] > 0)]
    if filled.empty:
        return 1.0
    return float((filled["n_patched"].astype(float) / filled["n_baseline"].astype(float)).median())
