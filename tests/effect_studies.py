"""Comparisons of made-up values, for the tests of tables."""

import numpy as np

from emotion_circuits.statistics import (
    Comparison,
    ComparisonKey,
    EffectOptions,
    average_draws,
    average_repeats,
)
from study_emotions import FOUR

FAMILY = ("profile", "phase", "model_name", "comparison")


def key(**changes):
    given = {
        "profile": "p",
        "phase": "residual",
        "model_name": "m",
        "emotion": "anger",
        "layer": 0,
        "head": None,
        "head_spec": "",
        "alpha": 1.0,
        "comparison": "patched_vs_neutral",
        "metric_name": "goemotions.anger",
    }
    return ComparisonKey(**{**given, **changes})


def options(**changes):
    given = {
        "alpha": 0.05,
        "n_bootstrap": 300,
        "n_permutations": 200,
        "ci_method": "bca",
        "family": FAMILY,
        "paired": True,
        "seed": 0,
        "labels": FOUR.labels,
    }
    return EffectOptions(**{**given, **changes})


def texts(n):
    return [f"text {place}" for place in range(n)]


def compare(before, after, *, names=None, **changes):
    names = texts(len(before)) if names is None else names
    return Comparison(key(**changes), average_repeats(names, before), average_repeats(names, after))


def study(n_rows=6, n=12, *, seed=0, shift=0.1):
    """Rows over the same texts, each with another effect."""
    rng = np.random.default_rng(seed)
    found = []
    for row in range(n_rows):
        before = rng.random(n)
        after = before + rng.normal(shift * (row % 3), 0.2, n)
        found.append(compare(before, after, layer=row))
    return found


def random_study(seed, *, n=30, n_random=8, spread=0.0, effect=0.0):
    """One emotion's direction against random ones, whose own effects scatter by ``spread``."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=n)
    draws = tuple(
        average_repeats(texts(n), own + rng.normal(0, spread) + rng.normal(0, 0.5, n))
        for _ in range(n_random)
    )
    patched = own + effect + rng.normal(0, spread) + rng.normal(0, 0.5, n)
    identity = key(phase="random", comparison="emotion_vs_random", layer=seed)
    return Comparison(
        identity, average_draws(draws), average_repeats(texts(n), patched), draws=draws
    )
