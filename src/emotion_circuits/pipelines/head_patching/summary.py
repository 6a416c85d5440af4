"""Which share of each emotion's effect sets of heads carry, beside random sets of their size."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.experiments.head_sets import POOLED
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.statistics import rank_p
from emotion_circuits.statistics.ratios import mean_interval, ratio_interval

_KEYS: Final = ["what", "emotion", "direction", "mode", "ablation"]
# Column of the tidy table that is a share of the effect: names of share, random share, excess, p.
_SHARES: Final = {
    "recovered": ("fraction", "random_fraction", "excess", "p_rank"),
    "contrast_drop": (
        *("contrast_lost", "random_contrast_lost", "contrast_excess", "contrast_p_rank"),
    ),
}
_MEANS: Final = ("recovered", "neutral_shift", "fluency_loss")

Draws = Float[np.ndarray, "set pair"]


class _Options(NamedTuple):
    n_bootstrap: int
    seed: int
    clusters: list[str]


def summarize(tidy: pd.DataFrame, settings: HeadPatchingSettings) -> pd.DataFrame:
    """Say which share of each emotion's effect each set of heads carries, beside random sets.

    The effect is the mean of the emotion's metric on its prompts minus that on their neutral
    ones. Pairs that share a neutral prompt are resampled together, and what concerns random sets
    is resampled over sets, too.

    Args:
        tidy: What ``pair_table`` gives.
        settings: Resamples.

    Returns:
        One line a combination, with 95 % bootstrap intervals. ``fraction``: mean recovered over
        the effect; ``excess``: the share beyond that of random sets of the same size; ``p_rank``:
        the share of sets, this one included, that recover as much. For ablation the same of
        ``contrast_lost``: 1 − what is left of the effect under ablation over the effect.
        ``neutral_shift`` and ``fluency_loss`` (nats per token) are means. NaN where there is
        none: single heads have no random sets, patching no shift.
    """
    rows = []
    for keys, whole in _with_pooled(tidy).groupby(_KEYS, sort=False):
        random = [
            part for name, part in whole.groupby("head_set", sort=False) if _is_random(str(name))
        ]
        for name, part in whole.groupby("head_set", sort=False):
            if _is_random(str(name)):
                continue
            control = random if name == "chosen" else []
            options = _Options(settings.n_bootstrap, settings.seed, part["pair_id"].tolist())
            rows.append(
                dict(zip(_KEYS, keys, strict=True))
                | {"head_set": name, "heads": " | ".join(dict.fromkeys(part["heads"]))}
                | _summary(part, control, options)
            )
    table = pd.DataFrame(rows)
    table.insert(0, "model_name", tidy["model_name"].iloc[0])
    return table


def _with_pooled(tidy: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([tidy, tidy.assign(emotion=POOLED)], ignore_index=True)


def _is_random(name: str) -> bool:
    return name.startswith("random")


def _summary(part: pd.DataFrame, random: list[pd.DataFrame], options: _Options) -> dict[str, float]:
    effect = (part["emotion_value"] - part["neutral_value"]).to_numpy()
    found: dict[str, float] = {
        "n_pairs": len(part),
        "n_clusters": part["pair_id"].nunique(),
        "effect": float(effect.mean()),
    }
    for name in _MEANS:
        found |= _mean(part[name].to_numpy(), name, options)
    for column, names in _SHARES.items():
        # Each set has the same pairs in the same order.
        draws = np.array([each[column] for each in random]).reshape(len(random), len(part))
        found |= _share(part[column].to_numpy(), draws, effect, names, options)
    shares = _over([float(each["recovered"].mean()) for each in random], effect)
    found |= {
        "n_random": len(random),
        "random_smallest": min(shares, default=float("nan")),
        "random_largest": max(shares, default=float("nan")),
    }
    for name in ("neutral_shift", "fluency_loss"):
        means = [each[name].mean() for each in random]
        found[f"random_{name}"] = float(np.mean(means)) if means else float("nan")
    return found


def _over(means: list[float], effect: np.ndarray) -> list[float]:
    total = float(effect.mean())
    return [mean / total if total else float("nan") for mean in means]


def _mean(values: np.ndarray, name: str, options: _Options) -> dict[str, float]:
    known = ~np.isnan(values)  # an empty continuation has no fluency
    if not known.any():
        return dict.fromkeys((name, f"{name}_lower", f"{name}_upper"), float("nan"))
    clusters = [pair for pair, is_known in zip(options.clusters, known, strict=True) if is_known]
    mean, lower, upper = mean_interval(
        values[known], n_bootstrap=options.n_bootstrap, seed=options.seed, clusters=clusters
    )
    return {name: float(mean), f"{name}_lower": float(lower), f"{name}_upper": float(upper)}


def _share(
    values: np.ndarray,
    draws: Draws,
    effect: np.ndarray,
    names: tuple[str, ...],
    options: _Options,
) -> dict[str, float]:
    share, random, excess, p_rank = names
    intervals = {
        share: ratio_interval(values, effect, **options._asdict()),
        random: ratio_interval(draws, effect, **options._asdict()),
        excess: ratio_interval(draws, effect, less=values, **options._asdict()),
    }
    found = {
        f"{name}{end}": value
        for name, interval in intervals.items()
        for end, value in zip(("", "_lower", "_upper"), interval, strict=True)
    }
    return found | {p_rank: float(rank_p(values.mean(), draws.mean(1)))}
