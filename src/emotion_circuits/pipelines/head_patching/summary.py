"""The share of each emotion's effect that sets of heads carry, against random sets."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from emotion_circuits.experiments.head_sets import CHOSEN, OTHER, POOLED, RANDOM, kind_of_set
from emotion_circuits.experiments.shares import (
    Draws,
    Resampling,
    mean_with_interval,
    share_with_interval,
    shares_of_means,
    smallest_p,
)
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.prompts import CLUSTER
from emotion_circuits.statistics import rank_p

_KEYS: Final = ["what", "emotion", "direction", "mode", "ablation"]
# Columns that are summarized as a share of the effect: names of share, random share, excess, p.
_SHARES: Final = {
    "recovered": ("fraction", "random_fraction", "excess", "p_rank"),
    "contrast_drop": (
        *("contrast_lost", "random_contrast_lost", "contrast_excess", "contrast_p_rank"),
    ),
}
_COSTS: Final = ("neutral_shift", "fluency_loss", "neutral_fluency_loss")
_MEANS: Final = ("recovered", *_COSTS, "fluency_loss_reference")

Parts = list[pd.DataFrame]


def summarize(tidy: pd.DataFrame, settings: HeadPatchingSettings) -> pd.DataFrame:
    """Compute the share of each emotion's effect that each set of heads carries.

    The effect is the mean of the emotion's metric on emotional prompts minus that on their neutral
    prompts. Whole clusters of pairs, such as templates, are resampled, and random sets are
    resampled as well.

    Args:
        tidy: The result of ``pair_table``.
        settings: Number and seed of resamples.

    Returns:
        One line per combination, with 95 % bootstrap intervals. ``fraction``: mean of
        ``recovered`` over the effect; ``excess``: the fraction minus that of random sets of the
        same size, drawn from all heads; ``p_rank``: rank p of the set among random sets, and
        ``p_smallest``: the smallest p that can come out. For ablation, the same for
        ``contrast_lost``: the share of the effect that is lost under ablation. ``other_…``
        describes sets without chosen heads. Means: ``neutral_shift``; ``fluency_loss`` and, under
        ablation, ``neutral_fluency_loss`` (nats per token); ``fluency_loss_reference``: the loss
        of the unpatched reaction to the pair's other prompt; ``fluency_loss_excess``: the loss
        beyond that. Single heads, which have no random sets, and shifts under patching have NaN.
    """
    lines = []
    for keys, whole in _with_pooled(tidy).groupby(_KEYS, sort=False):
        parts = {str(name): part for name, part in whole.groupby("head_set", sort=False)}
        controls = {
            kind: [part for name, part in parts.items() if kind_of_set(name) == kind]
            for kind in (RANDOM, OTHER)
        }
        for name, part in parts.items():
            if kind_of_set(name) in controls:
                continue
            beside: dict[str, Parts] = controls if name == CHOSEN else {RANDOM: [], OTHER: []}
            clusters = part[CLUSTER].tolist()
            resampling = Resampling(settings.n_bootstrap, settings.seed, clusters)
            lines.append(
                dict(zip(_KEYS, keys, strict=True))
                | {"head_set": name, "heads": " | ".join(dict.fromkeys(part["heads"]))}
                | _summary(part, beside[RANDOM], resampling)
                | _others(part, beside[OTHER])
            )
    table = pd.DataFrame(lines)
    table.insert(0, "model_name", tidy["model_name"].iloc[0])
    return table


def _with_pooled(tidy: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([tidy, tidy.assign(emotion=POOLED)], ignore_index=True)


def _summary(part: pd.DataFrame, random: Parts, resampling: Resampling) -> dict[str, float]:
    effect = _effect(part)
    row: dict[str, float] = {
        "n_pairs": len(part),
        "n_clusters": part[CLUSTER].nunique(),
        "effect": float(effect.mean()),
    }
    for name in _MEANS:
        row |= mean_with_interval(part[name].to_numpy(), name, resampling)
    beyond = (part["fluency_loss"] - part["fluency_loss_reference"]).to_numpy()
    row |= mean_with_interval(beyond, "fluency_loss_excess", resampling)
    for column, (*names, p) in _SHARES.items():
        values, draws = part[column].to_numpy(), _draws(random, column, part)
        share, random_share, excess = names
        row |= share_with_interval(values, draws, effect, (share, random_share, excess), resampling)
        row[p] = float(rank_p(values.mean(), draws.mean(1)))
    return row | _range(random, effect, part, RANDOM) | {"p_smallest": smallest_p(len(random))}


def _others(part: pd.DataFrame, others: Parts) -> dict[str, float]:
    """Describe sets without chosen heads."""
    effect = _effect(part)
    row = _range(others, effect, part, OTHER)
    for column, (share, *_) in _SHARES.items():
        shares = shares_of_means(_draws(others, column, part), effect)
        row[f"{OTHER}_{share}"] = float(shares.mean()) if len(shares) else float("nan")
    return row


def _effect(part: pd.DataFrame) -> np.ndarray:
    effect: np.ndarray = (part["emotion_value"] - part["neutral_value"]).to_numpy()
    return effect


def _draws(parts: Parts, column: str, like: pd.DataFrame) -> Draws:
    """Return each set's values; all sets have the same pairs in the same order."""
    return np.array([each[column] for each in parts]).reshape(len(parts), len(like))


def _range(parts: Parts, effect: np.ndarray, like: pd.DataFrame, kind: str) -> dict[str, float]:
    """Return the number of sets of a kind, the range of their shares and their mean costs."""
    shares = shares_of_means(_draws(parts, "recovered", like), effect).tolist()
    row: dict[str, float] = {
        f"n_{kind}": len(parts),
        f"{kind}_smallest": min(shares, default=float("nan")),
        f"{kind}_largest": max(shares, default=float("nan")),
    }
    for name in _COSTS:
        means = [each[name].mean() for each in parts]
        row[f"{kind}_{name}"] = float(np.mean(means)) if means else float("nan")
    return row
