"""Choice of k, the number of directions that two models share for an emotion."""

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
    SPECIFICITY_COLUMNS,
    add_best_layers,
    average_over_layers,
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

# Optional keys of a k sweep: overlaps under resampled prompts; overlaps under shuffled pairs of
# prompts; mean, 95th percentile and p-value of the latter.
RESAMPLES: Final = "overlap_bootstrap"
NULL: Final = "overlap_null"
NULL_SUMMARY: Final = ("null_mean", "null_p95", "p_value")

NO_NULL: Final = "the sweep holds no overlaps of shuffled pairs"
NOT_ABOVE: Final = "no k is above the null"


def named_models(sweep: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name the models ``model_a`` and ``model_b``; older files have ``model1`` and ``model2``."""
    if "model_a" in sweep or "model1" not in sweep:
        return sweep
    return {**sweep, "model_a": sweep["model1"], "model_b": sweep["model2"]}


def k_sweep_table(
    sweeps: Iterable[Mapping[str, Any]], profile: str, labels: Sequence[str]
) -> pd.DataFrame:
    """List every overlap of every sweep.

    Args:
        sweeps: One for each pair of models, as phase 4 writes them; older files may name the
            models ``model1`` and ``model2``.
        profile: Name of the profile.
        labels: The study's labels, in the order of the table.

    Returns:
        One line per pair of models, layer, emotion and k.
    """
    lines = [
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
        for sweep in map(named_models, sweeps)
        for layer, emotions in sweep["sweep_results"].items()
        for emotion, values in emotions.items()
        for k, leaf in values.items()
    ]
    table = pd.DataFrame(lines, columns=list(RAW_COLUMNS))
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

    Candidates are the k whose overlap is above the null after correction for the number of k: by
    max-T over all k under the same shuffles, or by Bonferroni without shuffles. The chosen k is
    the smallest candidate whose excess over the null is within one standard error of the largest
    excess. Without a null, no k is chosen. Without resamples of prompts, the interval comes from
    resampled layers, which are not independent samples.

    The chosen k is the number of directions in which A's mapped emotion subspace overlaps with
    B's more than under maps of shuffled pairs. These directions may be common to all emotions.
    Therefore ``specificity`` is the overlap minus that with B's closest other emotion, both between
    disjoint halves of the scenarios, and ``selected_specific`` marks the smallest k at which
    specificity is above 0 too, if there is any. Averages over layers hide what one layer holds:
    ``specific_layer`` is the layer where k is most specific, with a p for all layers and k.

    Args:
        sweeps: One sweep per pair of models, as phase 4 writes it. A leaf may hold
            ``overlap_bootstrap`` and ``overlap_null``, with the same draws in every layer, or
            ``null_mean``, ``null_p95`` and ``p_value`` of its layer; the mean's p-value is then
            the least of the layers' p-values times their number (Bonferroni). It may also hold
            ``overlap_other``, and ``specificity`` with the comparisons on disjoint halves.
        profile: Name of the profile.
        labels: The study's labels, in the order of the table.
        n_bootstrap: Number of resamples of layers, if they are needed.
        alpha: Level of significance; intervals cover 1 - alpha.
        seed: Seed of the resamples of layers.

    Returns:
        One line per pair of models, emotion and k.

    Source: one-standard-error rule, Hastie, Tibshirani and Friedman 2009, 7.10.
    """
    lines: list[dict[str, Any]] = []
    for sweep in sorted(
        map(named_models, sweeps), key=lambda sweep: (sweep["model_a"], sweep["model_b"])
    ):
        names = {"profile": profile, "model_a": sweep["model_a"], "model_b": sweep["model_b"]}
        results = sweep["sweep_results"]
        layers = sorted(results)
        emotions = {emotion for layer in layers for emotion in results[layer]}
        for emotion in sorted(emotions, key=partial(place_among, labels)):
            ks = sorted({int(k) for layer in layers for k in results[layer].get(emotion, {})})
            leaves = [
                {
                    layer: results[layer][emotion][k]
                    for layer in layers
                    if k in results[layer].get(emotion, {})
                }
                for k in ks
            ]
            by_k = [
                _average_layers(
                    list(of_k.values()),
                    n_bootstrap=n_bootstrap,
                    alpha=alpha,
                    rng=rng_for(seed, "layers", *names.values(), emotion, k),
                )
                for k, of_k in zip(ks, leaves, strict=True)
            ]
            _choose(by_k, alpha)
            choose_specific(by_k, alpha)
            add_best_layers(by_k, leaves)
            for k, line in zip(ks, by_k, strict=True):
                lines.append(names | {"emotion": emotion, "k": k} | line)
    return pd.DataFrame(lines, columns=[*COLUMNS, *MORE_COLUMNS])


def _average_layers(
    leaves: list[Mapping[str, Any]], *, n_bootstrap: int, alpha: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Average the overlaps of one k over layers, with interval, null and standard error."""
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
    specificity = specificity_row(float(np.mean(others)), average_over_layers(leaves), alpha)
    line = {
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
    return line | specificity | (null or {"reason": NO_NULL})


def _against_null(
    leaves: list[Mapping[str, Any]], mean: float, alpha: float
) -> dict[str, Any] | None:
    """Compare a mean over layers with the null, given by draws or by each layer's summary."""
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
        # The percentile of the mean, if layers vary together; otherwise mostly above it.
        "null_upper": float(uppers.mean()),
        "excess": mean - float(means.mean()),
        "p_value": float(min(1.0, p_values.min() * len(leaves))),
    }


def _draws(leaves: list[Mapping[str, Any]], name: str) -> np.ndarray | None:
    """Average draws over layers, all of the same prompts; None if a layer lacks them."""
    by_layer = [np.asarray(leaf[name], dtype=np.float64) for leaf in leaves if name in leaf]
    if (
        len(by_layer) < len(leaves)
        or len({len(draws) for draws in by_layer}) != 1
        or len(by_layer[0]) < 2
    ):
        return None
    mean: np.ndarray = np.mean(by_layer, axis=0)
    return mean


def _choose(lines: list[dict[str, Any]], alpha: float) -> None:
    """Mark the chosen k of one emotion, or note why no k is chosen."""
    errors = [line["standard_error"] for line in lines]
    nulls = [line.pop("null", None) for line in lines]
    if any("p_value" not in line for line in lines):
        return
    for line, p_value in zip(lines, _correct(lines, nulls), strict=True):
        line["p_value_corrected"] = p_value
    above = [index for index, line in enumerate(lines) if line["p_value_corrected"] <= alpha]
    if not above:
        for line in lines:
            line["reason"] = NOT_ABOVE
        return
    best = max(above, key=lambda index: lines[index]["excess"])
    slack = errors[best] if np.isfinite(errors[best]) else 0.0
    least = lines[best]["excess"] - slack
    lines[next(index for index in above if lines[index]["excess"] >= least)]["selected"] = True


def _correct(lines: list[dict[str, Any]], nulls: list[np.ndarray | None]) -> list[float]:
    """Correct p-values for the number of k."""
    draws = [null for null in nulls if null is not None]
    if len(draws) < len(lines) or len({len(null) for null in draws}) > 1:
        return [min(1.0, line["p_value"] * len(lines)) for line in lines]
    overlaps = np.array([line["mean_overlap"] for line in lines])
    # At k = d_model all subspaces are equal and the null does not vary; max_t_p gives 1 there.
    corrected: list[float] = max_t_p(overlaps, np.stack(draws, axis=1)).tolist()
    return corrected
