"""The phase's tables: every score, doses with their responses, and what moves for which emotion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.pipelines.residual_patching.results import (
    metric_keys,
    records_of,
    values_of,
    walk_emotions,
)
from emotion_circuits.pipelines.residual_patching.selection import Choice
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings
from emotion_circuits.statistics.metric_effects import (
    MetricEffects,
    metric_effects,
    resampled_counts,
)

_HALVES = ("select", "confirm")
_EFFECT = ("mean_baseline", "mean_patched", "mean_diff", "ci_lower", "ci_upper")


class Half(NamedTuple):
    """One half of the prompts, ready to be compared with.

    Attributes:
        name: ``select`` or ``confirm``.
        prompts: Its texts.
        baseline: Scores without a patch.
        counts: Resamples, the same for every condition.
    """

    name: str
    prompts: list[str]
    baseline: Float[np.ndarray, "prompt metric"]
    counts: Float[np.ndarray, "resample prompt"]


def halves_of(sweep: Mapping[str, Any], settings: ResidualPatchingSettings) -> list[Half]:
    """Give both halves of a residual sweep."""
    keys = metric_keys(sweep)
    found = []
    for name in _HALVES:
        prompts = sweep["halves"][name]
        baseline = values_of(records_of(sweep["baseline"], prompts), keys)
        counts = resampled_counts(len(prompts), settings.n_bootstrap, settings.seed)
        found.append(Half(name, prompts, baseline, counts))
    return found


def score_table(sweep: Mapping[str, Any]) -> pd.DataFrame:
    """Give every score of a residual sweep: one row per prompt, condition and metric.

    Returns:
        ``model_name``, ``prompt_index`` (in ``prompts``), ``half``, ``emotion``, ``layer``,
        ``alpha`` (the baseline is ``baseline`` with no layer and α 0), ``metric_name``
        (``metric.label`` or ``fluency.nll``), ``baseline``, ``value``.
    """
    keys, prompts = metric_keys(sweep), sweep["prompts"]
    in_select = set(sweep["halves"]["select"])
    half = ["select" if prompt in in_select else "confirm" for prompt in prompts]
    baseline = values_of(records_of(sweep["baseline"], prompts), keys)
    cells: list[tuple[str, int | None, float, np.ndarray]] = [("baseline", None, 0.0, baseline)]
    for emotion, layer, alpha, cell in walk_emotions(sweep["sweep_results"]):
        cells.append((emotion, layer, alpha, values_of(records_of(cell, prompts), keys)))
    shape = (len(cells), len(prompts), len(keys))
    condition, prompt, metric = (axis.ravel() for axis in np.indices(shape))
    names = np.array([key.replace("/", ".", 1) for key in keys], dtype=object)
    columns = list(zip(*(cell[:3] for cell in cells), strict=True))
    return pd.DataFrame(
        {
            "model_name": sweep["model"],
            "prompt_index": prompt,
            "half": np.array(half, dtype=object)[prompt],
            "emotion": np.array(columns[0], dtype=object)[condition],
            "layer": pd.array(columns[1], dtype="Int64")[condition],
            "alpha": np.array(columns[2], dtype=float)[condition],
            "metric_name": names[metric],
            "baseline": np.broadcast_to(baseline, shape).ravel(),
            "value": np.stack([values for *_, values in cells]).ravel(),
        }
    )


def dose_response_table(
    sweep: Mapping[str, Any], settings: ResidualPatchingSettings
) -> pd.DataFrame:
    """Estimate the effect of each condition on each metric, on either half of the prompts.

    Returns:
        One row per half, emotion, layer, strength and metric, with ``n`` prompts, means, the mean
        difference with its interval, and paired d with its interval.
    """
    keys = metric_keys(sweep)
    rows: list[dict[str, Any]] = []
    for half in halves_of(sweep, settings):
        for emotion, layer, alpha, cell in walk_emotions(sweep["sweep_results"]):
            effects = effects_of(half, records_of(cell, half.prompts), keys)
            place = {"half": half.name, "emotion": emotion, "layer": layer, "alpha": alpha}
            rows += effect_rows(place, effects, keys, len(half.prompts))
    return with_model(rows, sweep)


def specificity_table(
    sweep: Mapping[str, Any],
    choices: Mapping[str, Choice],
    settings: ResidualPatchingSettings,
) -> pd.DataFrame:
    """Say which metric moves for which emotion, under what was chosen, on the other prompts.

    Returns:
        One row per steered emotion and metric; ``target_of`` names the emotion that the metric is
        the own one of, empty for others.
    """
    keys, confirm = metric_keys(sweep), halves_of(sweep, settings)[1]
    target_of = {key.replace("/", ".", 1): e for e, key in settings.target_metrics.items()}
    rows: list[dict[str, Any]] = []
    for emotion, choice in choices.items():
        cell = sweep["sweep_results"][emotion][choice.layer][choice.alpha]
        effects = effects_of(confirm, records_of(cell, confirm.prompts), keys)
        place = {"steered": emotion, "layer": choice.layer, "alpha": choice.alpha}
        rows += effect_rows(place, effects, keys, len(confirm.prompts))
    table = with_model(rows, sweep)
    table.insert(5, "target_of", table["metric_name"].map(target_of).fillna(""))
    return table


def effects_of(
    half: Half, records: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> MetricEffects:
    """Estimate the effects of one condition on a half of the prompts."""
    return metric_effects(half.baseline, values_of(records, keys), half.counts)


def effect_row(effects: MetricEffects, column: int, key: str, n: int) -> dict[str, Any]:
    """Give one metric's effect as columns, named as in the study's other tables."""
    return {
        "metric_name": key.replace("/", ".", 1),
        "n": n,
        **{name: float(getattr(effects, name)[column]) for name in _EFFECT},
        "cohen_d": float(effects.cohen_d[column]),
        "effect_size_ci_lower": float(effects.d_lower[column]),
        "effect_size_ci_upper": float(effects.d_upper[column]),
    }


def effect_rows(
    place: Mapping[str, Any], effects: MetricEffects, keys: Sequence[str], n: int
) -> list[dict[str, Any]]:
    """Give every metric's effect as rows of one place in the study."""
    return [{**place, **effect_row(effects, column, key, n)} for column, key in enumerate(keys)]


def with_model(rows: list[dict[str, Any]], sweep: Mapping[str, Any]) -> pd.DataFrame:
    """Make a table whose first column names the model."""
    table = pd.DataFrame(rows)
    table.insert(0, "model_name", sweep["model"])
    return table
