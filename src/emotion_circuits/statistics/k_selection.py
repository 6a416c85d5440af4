"""How many directions two models share: overlap for each k, against what chance gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.comparisons import place_among
from emotion_circuits.statistics.k_specificity import (
    OTHER,
    OTHER_RESAMPLES,
    SPECIFICITY_COLUMNS,
    choose_specific,
    interval_of,
    specificity_row,
)
from emotion_circuits.statistics.null_tests import max_t_p, rank_p

RAW_COLUMNS: Final = (
    *("profile", "model_a", "model_b", "layer", "emotion", "k", "overlap"),
    *("mean_principal_angle", "overlap_other"),
)
COLUMNS: Final = (
    *("profile", "model_a", "model_b", "emotion", "k", "n_layers", "mean_overlap"),
    *("std_overlap", "ci_lower", "ci_upper"),
)
MORE_COLUMNS: Final = (
    *("ci_unit", "null_mean", "null_upper", "excess", "p_value", "p_value_corrected"),
    *("selected", "reason", "standard_error"),
    *SPECIFICITY_COLUMNS,
)

# What a k sweep may hold beside its two numbers: the overlaps under resampled prompts, and those
# under shuffled pairs of prompts, or of the latter the mean, the 95th percentile and p.
RESAMPLES: Final = "overlap_bootstrap"
NULL: Final = "overlap_null"
NULL_SUMMARY: Final = ("null_mean", "null_p95", "p_value")

NO_NULL: Final = "the sweep holds no overlaps of shuffled pairs"
NOT_ABOVE: Final = "no k is above the null"


def k_sweep_table(
    sweeps: Iterable[Mapping[str, Any]], profile: str, labels: Sequence[str]
) -> pd.DataFrame:
    """List every overlap of every sweep.

    Args:
        sweeps: One for each pair of models, as phase 4 writes them.
        profile: Name of the profile.
        labels: The study's, in the order of the table.

    Returns:
        One row per pair of models, layer, emotion and k.
    """
    rows = [
        {
            "profile": profile,
            "model_a": sweep["model_a"],
            "model_b": sweep["model_b"],
            "layer": layer,
            "emotion": emotion,
            "k": int(k),
            "overlap": float(leaf["overlap_cos_squared"]),
            "mean_principal_angle": float(leaf["mean_principal_angle"]),
            "overlap_other": float(leaf.get(OTHER, float("nan"))),
        }
        for sweep in sweeps
        for layer, emotions in sweep["sweep_results"].items()
        for emotion, values in emotions.items()
        for k, leaf in values.items()
    ]
    table = pd.DataFrame(rows, columns=list(RAW_COLUMNS))
    order = table["emotion"].map(lambda emotion: place_among(labels, emotion))
    keys = ["model_a", "model_b", "layer", "order", "k"]
    table = table.assign(order=order).sort_values(keys, kind="stable", ignore_index=True)
    return table[list(RAW_COLUMNS)]


def select_k(
    sweeps: Iterable[Mapping[str, Any]],
    profile: str,
    labels: Sequence[str],
    *,
    n_bootstrap: int,
    alpha: float,
    seed: int,
) -> pd.DataFrame:
    """Average overlaps over layers, compare them with the null, and choose k.

    Chosen is the smallest k whose excess over the null is within one standard error of the
    largest excess, among those whose overlap is above the null after correction for the number of
    ks: by the largest excess of any k under each shuffle, in its own deviations, or by Bonferroni
    where shuffles are not known. Where a sweep holds no null nothing is chosen, and where it
    holds no resamples of prompts the interval is over layers, which are no independent samples.

    That k says in how many directions A's emotion, mapped, comes to lie where B's does, more than
    by a map of shuffled pairs. It does not say that these directions are the emotion's: they may
    serve all emotions. For that ``specificity`` is the overlap minus that with B's other emotions,
    and ``selected_specific`` the smallest k at which it is above 0 too; often there is none.

    Args:
        sweeps: One for each pair of models, as phase 4 writes them; a leaf may hold
            ``overlap_bootstrap`` and ``overlap_null``, the same draws in every layer, or
            ``null_mean``, ``null_p95`` and ``p_value`` of its own layer. From the p-values of
            layers the mean's follows by Bonferroni: the least times their number. It may also
            hold ``overlap_other`` and ``overlap_other_bootstrap``, of the same resamples.
        profile: Name of the profile.
        labels: The study's, in the order of the table.
        n_bootstrap: Resamples of layers, where it comes to that.
        alpha: Level of significance; intervals cover 1 - alpha.
        seed: Of these resamples.

    Returns:
        One row per pair of models, emotion and k.

    Source: one-standard-error rule, Hastie, Tibshirani and Friedman 2009, 7.10.
    """
    rows: list[dict[str, Any]] = []
    for sweep in sorted(sweeps, key=lambda sweep: (sweep["model_a"], sweep["model_b"])):
        names = {"profile": profile, "model_a": sweep["model_a"], "model_b": sweep["model_b"]}
        results = sweep["sweep_results"]
        by_layer = [results[layer] for layer in sorted(results)]
        found = {emotion for layer in by_layer for emotion in layer}
        for emotion in sorted(found, key=partial(place_among, labels)):
            ks = sorted({int(k) for layer in by_layer for k in layer.get(emotion, {})})
            several = [
                _average_layers(
                    [layer[emotion][k] for layer in by_layer if k in layer.get(emotion, {})],
                    n_bootstrap=n_bootstrap,
                    alpha=alpha,
                    rng=rng_for(seed, "layers", *names.values(), emotion, k),
                )
                for k in ks
            ]
            _choose(several, alpha)
            choose_specific(several, alpha)
            for k, row in zip(ks, several, strict=True):
                rows.append(names | {"emotion": emotion, "k": k} | row)
    return pd.DataFrame(rows, columns=[*COLUMNS, *MORE_COLUMNS])


def _average_layers(
    leaves: list[Mapping[str, Any]], *, n_bootstrap: int, alpha: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Average one k over layers, with its interval, its null and the error of its mean."""
    overlaps = np.array([leaf["overlap_cos_squared"] for leaf in leaves], dtype=np.float64)
    n, mean = len(overlaps), float(overlaps.mean())
    resampled, unit = _draws(leaves, RESAMPLES), "prompts"
    if resampled is None and n > 1:
        weights = rng.multinomial(n, np.full(n, 1 / n), n_bootstrap)
        resampled, unit = (weights * overlaps).sum(axis=1) / n, "layers"
    lower = upper = error = float("nan")
    if resampled is not None:
        lower, upper, error = interval_of(mean, resampled, alpha, least=0.0)
    others = [float(leaf.get(OTHER, float("nan"))) for leaf in leaves]
    specificity = specificity_row(
        mean,
        float(np.mean(others)),
        _draws(leaves, RESAMPLES),
        _draws(leaves, OTHER_RESAMPLES),
        alpha,
    )
    row = {
        "n_layers": n,
        "mean_overlap": mean,
        "std_overlap": float(overlaps.std(ddof=1)) if n > 1 else float("nan"),
        "ci_lower": lower,
        "ci_upper": upper,
        "ci_unit": unit if resampled is not None else "",
        "selected": False,
        "reason": "",
        "standard_error": error,
    }
    null = _against_null(leaves, mean, alpha)
    return row | specificity | (null or {"reason": NO_NULL})


def _against_null(
    leaves: list[Mapping[str, Any]], mean: float, alpha: float
) -> dict[str, Any] | None:
    """Compare a mean over layers with the null, from its draws or from what layers say of it."""
    null = _draws(leaves, NULL)
    if null is not None:
        return {
            "null_mean": float(null.mean()),
            "null_upper": float(np.quantile(null, 1 - alpha)),
            "excess": mean - float(null.mean()),
            "p_value": float(rank_p(mean, null)),
            "null": null,
        }
    if not all(name in leaf for leaf in leaves for name in NULL_SUMMARY):
        return None
    means, uppers, p_values = (
        np.array([leaf[name] for leaf in leaves], dtype=np.float64) for name in NULL_SUMMARY
    )
    return {
        "null_mean": float(means.mean()),
        # The percentile of a mean is at most the mean of its parts' where they go together.
        "null_upper": float(uppers.mean()),
        "excess": mean - float(means.mean()),
        "p_value": float(min(1.0, p_values.min() * len(leaves))),
    }


def _draws(leaves: list[Mapping[str, Any]], name: str) -> np.ndarray | None:
    """Average draws over layers; the draws of all layers are of the same prompts."""
    found = [np.asarray(leaf[name], dtype=np.float64) for leaf in leaves if name in leaf]
    if len(found) < len(leaves) or len({len(draws) for draws in found}) != 1 or len(found[0]) < 2:
        return None
    mean: np.ndarray = np.mean(found, axis=0)
    return mean


def _choose(rows: list[dict[str, Any]], alpha: float) -> None:
    """Mark the chosen k of one emotion, if there is one."""
    errors = [row["standard_error"] for row in rows]
    nulls = [row.pop("null", None) for row in rows]
    if any("p_value" not in row for row in rows):
        return
    for row, p_value in zip(rows, _correct(rows, nulls), strict=True):
        row["p_value_corrected"] = p_value
    above = [place for place, row in enumerate(rows) if row["p_value_corrected"] <= alpha]
    if not above:
        for row in rows:
            row["reason"] = NOT_ABOVE
        return
    best = max(above, key=lambda place: rows[place]["excess"])
    slack = errors[best] if np.isfinite(errors[best]) else 0.0
    least = rows[best]["excess"] - slack
    rows[next(place for place in above if rows[place]["excess"] >= least)]["selected"] = True


def _correct(rows: list[dict[str, Any]], nulls: list[np.ndarray | None]) -> list[float]:
    """Correct p for the number of ks."""
    draws = [null for null in nulls if null is not None]
    if len(draws) < len(rows) or len({len(null) for null in draws}) > 1:
        return [min(1.0, row["p_value"] * len(rows)) for row in rows]
    overlaps = np.array([row["mean_overlap"] for row in rows])
    # At k = d all subspaces are the same and the null does not vary: p is 1 there.
    corrected: list[float] = max_t_p(overlaps, np.stack(draws, axis=1)).tolist()
    return corrected
