"""Power of tests, and the numbers of samples that a power requires."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float, Shaped
from scipy import optimize, special, stats
from statsmodels.stats.power import TTestIndPower, TTestPower

# Beyond this noncentrality scipy's noncentral t has no value or loses digits.
_FAR: Final = 30.0


def paired_power(
    d: Float[np.ndarray, " row"], n: Shaped[np.ndarray, " row"], *, alpha: float
) -> Float[np.ndarray, " row"]:
    """Return the power of a two-sided paired t-test; NaN if d is NaN or n is below 2.

    Args:
        d: Effect sizes: mean over standard deviation of the differences.
        n: Numbers of pairs.
        alpha: Level of significance.
    """
    good = np.isfinite(d) & (n >= 2)
    power = np.full(len(d), np.nan)
    size, number = np.abs(d[good]), n[good].astype(np.float64)
    powers = np.asarray(TTestPower().power(size, number, alpha), dtype=np.float64)
    for index in np.flatnonzero(~np.isfinite(powers)).tolist():
        shift = float(size[index]) * math.sqrt(number[index])
        powers[index] = _power_by_quadrature(shift, float(number[index]) - 1, alpha)
    power[good] = powers
    return power


def t_power(
    shift: Float[np.ndarray, " row"], df: Float[np.ndarray, " row"], *, alpha: float
) -> Float[np.ndarray, " row"]:
    """Return the power of any two-sided t-test; NaN if shift is NaN or df is below 1.

    Args:
        shift: Noncentrality: the true effect over the standard error of its estimate.
        df: Degrees of freedom.
        alpha: Level of significance.
    """
    good = np.isfinite(shift) & (df >= 1)
    power = np.full(len(shift), np.nan)
    size, freedom = np.abs(shift[good]), df[good]
    bound = special.stdtrit(freedom, 1 - alpha / 2)
    powers = 1 - special.nctdtr(freedom, size, bound) + special.nctdtr(freedom, size, -bound)
    for index in np.flatnonzero(~np.isfinite(powers) | (size > _FAR)).tolist():
        powers[index] = _power_by_quadrature(float(size[index]), float(freedom[index]), alpha)
    power[good] = powers
    return power


def _power_by_quadrature(shift: float, df: float, alpha: float) -> float:
    """Average the power over the sample's deviation, if the noncentral t has no accurate value."""
    quantiles = (np.arange(10_000) + 0.5) / 10_000
    bound = stats.t.isf(alpha / 2, df) * np.sqrt(stats.chi2.ppf(quantiles, df) / df)
    return float((special.ndtr(shift - bound) + special.ndtr(-shift - bound)).mean())


def unpaired_power(
    d: Float[np.ndarray, " row"],
    n_control: Shaped[np.ndarray, " row"],
    n_treatment: Shaped[np.ndarray, " row"],
    *,
    alpha: float,
) -> Float[np.ndarray, " row"]:
    """Return the power of a two-sided t-test of two groups; NaN if it is undefined."""
    return np.array(
        [
            TTestIndPower().power(abs(size), control, alpha, ratio=treated / control)
            if math.isfinite(size) and min(control, treated) >= 2
            else math.nan
            for size, control, treated in zip(d, n_control, n_treatment, strict=True)
        ]
    )


@lru_cache(maxsize=4096)
def required_pairs(d: float, *, alpha: float, power: float) -> int:
    """Return the least number of pairs that detects d with some power.

    Args:
        d: Effect size, not 0.
        alpha: Level of significance.
        power: Power, between alpha and 1.
    """
    n = TTestPower().solve_power(effect_size=d, nobs=None, alpha=alpha, power=power)
    return max(2, math.ceil(float(np.squeeze(n)) - 1e-9))


@lru_cache(maxsize=4096)
def required_groups(d: float, *, alpha: float, power: float, ratio: float) -> tuple[int, int]:
    """Return the least sizes of control and treatment group that detect d with some power.

    Args:
        d: Effect size, not 0.
        alpha: Level of significance.
        power: Power, between alpha and 1.
        ratio: Treatment samples per control sample.
    """
    n = TTestIndPower().solve_power(
        effect_size=d, nobs1=None, alpha=alpha, power=power, ratio=ratio
    )
    control = max(2, math.ceil(float(np.squeeze(n)) - 1e-9))
    return control, max(2, math.ceil(control * ratio - 1e-9))


def detectable_effect(n: int, *, alpha: float, power: float) -> float:
    """Return the smallest d that n pairs detect with some power; NaN below 2 pairs.

    Args:
        n: Number of pairs.
        alpha: Level of significance.
        power: Power, between alpha and 1.
    """
    return detectable_shift(n - 1, alpha=alpha, power=power) / math.sqrt(n) if n > 1 else math.nan


@lru_cache(maxsize=4096)
def detectable_shift(df: float | int, *, alpha: float, power: float) -> float:
    """Return the smallest effect, in standard errors, that a t-test detects; NaN below df 1.

    Args:
        df: Degrees of freedom.
        alpha: Level of significance.
        power: Power, between alpha and 1.
    """
    if df < 1:
        return math.nan

    def missing(shift: float) -> float:
        powers = t_power(np.array([shift]), np.array([df], dtype=np.float64), alpha=alpha)
        return float(powers[0]) - power

    upper = 1.0
    while missing(upper) < 0:
        upper *= 1.5
    return float(optimize.brentq(missing, 0.0, upper, xtol=1e-12))


@lru_cache(maxsize=4096)
def detectable_between_groups(
    n_control: int, n_treatment: int, *, alpha: float, power: float
) -> float:
    """Return the smallest d that two groups detect; NaN if a group has fewer than 2 samples."""
    if min(n_control, n_treatment) < 2:
        return math.nan
    d = TTestIndPower().solve_power(
        effect_size=None, nobs1=n_control, alpha=alpha, power=power, ratio=n_treatment / n_control
    )
    return float(np.squeeze(d))
