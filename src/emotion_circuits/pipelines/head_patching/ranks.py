"""Ranks of the chosen heads among random sets, by the preference between two reactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from emotion_circuits.experiments.head_sets import POOLED
from emotion_circuits.experiments.set_readings import Combination, Readings
from emotion_circuits.experiments.shares import (
    Draws,
    Resampling,
    Values,
    mean_with_interval,
    share_with_interval,
    shares_of_means,
    smallest_p,
)
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.prompts import CLUSTER
from emotion_circuits.statistics import max_t_p, rank_p

_NAMES: Final = ("fraction", "random_fraction", "excess")


class _Test(NamedTuple):
    """One combination on the pairs of one emotion, or of all; sets are in the readings' order."""

    way: Combination
    emotion: str
    moved: Draws
    effect: Values
    clusters: list[str]


def rank_table(
    readings: Readings,
    random: Mapping[str, Sequence[int]],
    others: Sequence[int],
    settings: HeadPatchingSettings,
) -> pd.DataFrame:
    """Rank the chosen set among random sets, for each kind of draw, combination and emotion.

    Args:
        readings: What each set does; the chosen set is the first.
        random: Indices of the random sets, by the layers that they are drawn from.
        others: Indices of the sets without chosen heads.
        settings: Resamples.

    Returns:
        One line for each emotion and for all pooled, with 95 % bootstrap intervals. ``effect`` and
        ``moved`` are in nats per token; ``fraction`` is the share of the effect that the chosen set
        moves; ``random_95`` and ``random_largest`` are the 95th percentile and the maximum of
        random sets' shares; ``other_…`` describes sets without chosen heads. ``p_smallest`` is the
        smallest ``p_rank`` that can come out. ``p_rank_max`` is corrected for all lines of the
        ``family``: the chosen set's value is ranked among the largest of each random set.
    """
    tests = list(_tests(readings))
    means = np.stack([test.moved.mean(axis=1) for test in tests], axis=1)
    families = np.array([POOLED if test.emotion == POOLED else "emotions" for test in tests])
    lines = []
    for layers, drawn in random.items():
        null = means[list(drawn)]
        alone, together = rank_p(means[0], null), np.full(len(tests), np.nan)
        for family in np.unique(families):
            own = families == family
            together[own] = max_t_p(means[0, own], null[:, own])
        for index, test in enumerate(tests):
            lines.append(
                test.way._asdict()
                | {"emotion": test.emotion, "layers": layers}
                | _sizes(test, drawn, others, settings)
                | {
                    "n_random": len(drawn),
                    "p_rank": float(alone[index]),
                    "p_smallest": smallest_p(len(drawn)),
                    "p_rank_max": float(together[index]),
                    "family": families[index],
                    "family_size": int((families == families[index]).sum()),
                }
            )
    return pd.DataFrame(lines)


def _tests(readings: Readings) -> Iterator[_Test]:
    pairs = readings.pairs
    for way, moved in readings.moved.items():
        for emotion in (*pairs["emotion"].drop_duplicates(), POOLED):
            chosen = np.ones(len(pairs), bool) if emotion == POOLED else pairs["emotion"] == emotion
            of_emotion = pairs[chosen]
            yield _Test(
                *(way, emotion, moved[:, np.asarray(chosen)]),
                *(of_emotion["effect"].to_numpy(), of_emotion[CLUSTER].tolist()),
            )


def _sizes(
    test: _Test, random: Sequence[int], others: Sequence[int], settings: HeadPatchingSettings
) -> dict[str, float]:
    """Return the size of the chosen set's effect beside those of random and other sets."""
    resampling = Resampling(settings.n_bootstrap, settings.seed, test.clusters)
    draws = test.moved[list(random)]
    shares = shares_of_means(draws, test.effect)
    beside = shares_of_means(test.moved[list(others)], test.effect)
    nothing = float("nan")
    return {
        "n_pairs": len(test.effect),
        "n_clusters": len(set(test.clusters)),
        "effect": float(test.effect.mean()),
        **mean_with_interval(test.moved[0], "moved", resampling),
        **share_with_interval(test.moved[0], draws, test.effect, _NAMES, resampling),
        "random_95": float(np.quantile(shares, 0.95)) if len(shares) else nothing,
        "random_largest": float(shares.max()) if len(shares) else nothing,
        "n_other": len(others),
        "other_fraction": float(beside.mean()) if len(beside) else nothing,
        "other_largest": float(beside.max()) if len(beside) else nothing,
    }
