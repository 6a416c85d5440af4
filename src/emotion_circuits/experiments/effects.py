"""Paired effects of an experiment's conditions on every score, on either half of the prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.experiments.outcomes import BASELINE_KIND, FLUENCY, Outcomes, metric_name
from emotion_circuits.statistics.metric_effects import (
    MetricEffects,
    metric_effects,
    resampled_counts,
)

HALVES: Final = ("select", "confirm")
EFFECT_COLUMNS: Final = (
    *("metric_name", "n", "mean_baseline", "mean_patched", "mean_diff", "ci_lower", "ci_upper"),
    *("cohen_d", "effect_size_ci_lower", "effect_size_ci_upper"),
)
LOSS_COLUMNS: Final = ("fluency_loss", "fluency_loss_lower", "fluency_loss_upper")


def effect_table(
    outcomes: Outcomes,
    by: Sequence[str],
    *,
    n_bootstrap: int,
    seed: int,
    halves: Sequence[str] = HALVES,
) -> pd.DataFrame:
    """Estimate the effect of each condition on each score, prompts being the unit.

    Args:
        outcomes: The baseline, and conditions on the same distinct prompts.
        by: Coordinates that tell conditions apart.
        n_bootstrap: Resamples; the same prompts are drawn for every condition of a half.
        seed: Of the resamples.
        halves: Which halves of the prompts.

    Returns:
        One line a half, condition and score: ``half``, the coordinates, and ``EFFECT_COLUMNS``:
        ``n`` prompts, means, the mean difference with its 95 % interval, and Cohen's d of the
        paired differences with its interval. Fluency is ``fluency.nll``, in nats per token.
    """
    keys = outcomes.keys
    lines: list[dict[str, Any]] = []
    for half in halves:
        of_half = outcomes.where(half=half)
        baseline = of_half.baseline
        prompts = baseline.table["prompt"].tolist()
        before, counts = baseline.values(keys), resampled_counts(len(prompts), n_bootstrap, seed)
        for where, condition in conditions_of(of_half, by):
            after = in_order(condition, prompts).values(keys)
            effects = metric_effects(before, after, counts)
            shared = {"half": half, **where, "n": len(prompts)}
            lines += [{**shared, **line} for line in _lines(effects, keys)]
    return pd.DataFrame(lines, columns=["half", *by, *EFFECT_COLUMNS])


def conditions_of(
    outcomes: Outcomes, by: Sequence[str]
) -> Iterator[tuple[dict[str, Any], Outcomes]]:
    """Give the lines of each condition but the baseline, with its coordinates."""
    return Outcomes(outcomes.table[outcomes.table["kind"] != BASELINE_KIND]).groups(by)


def in_order(outcomes: Outcomes, prompts: Sequence[str]) -> Outcomes:
    """Give one condition's lines in the order of some of its prompts, which are distinct."""
    return Outcomes(outcomes.table.set_index("prompt", drop=False).loc[list(prompts)])


def _lines(effects: MetricEffects, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    for column, key in enumerate(keys):
        yield {
            "metric_name": metric_name(key),
            "mean_baseline": float(effects.mean_baseline[column]),
            "mean_patched": float(effects.mean_patched[column]),
            "mean_diff": float(effects.mean_diff[column]),
            "ci_lower": float(effects.ci_lower[column]),
            "ci_upper": float(effects.ci_upper[column]),
            "cohen_d": float(effects.cohen_d[column]),
            "effect_size_ci_lower": float(effects.d_lower[column]),
            "effect_size_ci_upper": float(effects.d_upper[column]),
        }


def mean_shift(
    condition: Outcomes, baseline: Outcomes, keys: Sequence[str]
) -> Float[np.ndarray, " key"]:
    """Give how far a condition moves the mean of each score over the same number of prompts."""
    shift: np.ndarray = condition.values(keys).mean(axis=0) - baseline.values(keys).mean(axis=0)
    return shift


def own_effects(table: pd.DataFrame, own_metric: pd.Series) -> pd.DataFrame:
    """Keep each condition's effect on one metric, with what it costs in fluency beside it.

    Args:
        table: What ``effect_table`` gives.
        own_metric: For each line the ``metric.label`` to keep for its condition.

    Returns:
        The kept lines, in their order, with ``fluency_loss``, ``fluency_loss_lower`` and
        ``fluency_loss_upper`` in nats per token.
    """
    names = {"mean_diff": "", "ci_lower": "_lower", "ci_upper": "_upper"}
    fluency = table[table["metric_name"] == metric_name(FLUENCY)]
    kept = table[table["metric_name"] == own_metric]
    columns = [name for name in table.columns if name not in EFFECT_COLUMNS]
    losses = fluency[[*columns, *names]].rename(
        columns={name: f"fluency_loss{end}" for name, end in names.items()}
    )
    return kept.merge(losses, on=columns, how="left", validate="one_to_one")
