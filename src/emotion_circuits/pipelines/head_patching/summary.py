"""The share of each emotion's effect that sets of heads carry, against random sets."""

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
# Columns that are summarized as a share of the effect: names of share, random share, excess, p.
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
    """Compute the share of each emotion's effect that each set of heads carries.

    The effect is the mean of the emotion's metric on emotional prompts minus that on their neutral
    prompts. Pairs that share a neutral prompt are resampled together, and random sets are
    resampled as well.

    Args:
        tidy: The result of ``pair_table``.
        settings: Number and seed of resamples.

    Returns:
        One line per combination, with 95 % bootstrap intervals. ``fraction``: mean of
        ``recovered`` over the effect; ``excess``: the fraction minus that of random sets of the
        same size; ``p_rank``: rank p of the set among random sets. For ablation, the same for
        ``contrast_lost``: the share of the effect that is lost under ablation. ``neutral_shift``
        and ``fluency_loss`` (nats per token) are means. Single heads, which have no random sets,
        and shifts under patching have NaN.
    """
    lines = []
    for keys, whole in _with_pooled(tidy).groupby(_KEYS, sort=False):
        random = [
            part for name, part in whole.groupby("head_set", sort=False) if _is_random(str(name))
        ]
        for name, part in whole.groupby("head_set", sort=False):
            if _is_random(str(name)):
                continue
            control = random if name == "chosen" else []
            options = _Options(settings.n_bootstrap, settings.seed, part["pair_id"].tolist())
            lines.append(
                dict(zip(_KEYS, keys, strict=True))
                | {"head_set": name, "heads": " | ".join(dict.fromkeys(part["heads"]))}
                | _summary(part, control, options)
            )
    table = pd.DataFrame(lines)
    table.insert(0, "model_name", tidy["model_name"].iloc[0])
    return table


def _with_pooled(tidy: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([tidy, tidy.assign(emotion=POOLED)], ignore_index=True)


def _is_random(name: str) -> bool:
    return name.startswith("random")


def _summary(part: pd.DataFrame, random: list[pd.DataFrame], options: _Options) -> dict[str, float]:
    effect = (part["emotion_value"] - part["neutral_value"]).to_numpy()
    summary: dict[str, float] = {
        "n_pairs": len(part),
        "n_clusters": part["pair_id"].nunique(),
        "effect": float(effect.mean()),
    }
    for name in _MEANS:
        summary |= _mean(part[name].to_numpy(), name, options)
    for column, names in _SHARES.items():
        # All sets have the same pairs in the same order.
        draws = np.array([each[column] for each in random]).reshape(len(random), len(part))
        summary |= _share(part[column].to_numpy(), draws, effect, names, options)
    shares = _over([float(each["recovered"].mean()) for each in random], effect)
    summary |= {
        "n_random": len(random),
        "random_smallest": min(shares, default=float("nan")),
        "random_largest": max(shares, default=float("nan")),
    }
    for name in ("neutral_shift", "fluency_loss"):
        means = [each[name].mean() for each in random]
        summary[f"random_{name}"] = float(np.mean(means)) if means else float("nan")
    return summary


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
    shares = {
        f"{name}{end}": value
        for name, interval in intervals.items()
        for end, value in zip(("", "_lower", "_upper"), interval, strict=True)
    }
    return shares | {p_rank: float(rank_p(values.mean(), draws.mean(1)))}
