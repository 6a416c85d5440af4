"""Paired effects of an experiment's conditions on each score, for each half of the prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.experiments.outcomes import BASELINE_KIND, FLUENCY, Outcomes, metric_name
from emotion_circuits.prompts import CLUSTER, halve_texts
from emotion_circuits.statistics.clusters import are_few, cluster_df, number_clusters
from emotion_circuits.statistics.metric_effects import (
    MetricEffects,
    metric_effects,
    resampled_counts,
)

HALVES: Final = ("select", "confirm")
EFFECT_COLUMNS: Final = (
    *("metric_name", "n", "mean_baseline", "mean_patched", "mean_diff", "ci_lower", "ci_upper"),
    *("cohen_d", "effect_size_ci_lower", "effect_size_ci_upper"),
    *("cohen_d_pooled", "n_clusters", "few_clusters"),
)
# Shares of the prompts whose score falls and rises; the rest keeps its score exactly.
SHARE_COLUMNS: Final = ("share_decreased", "share_increased")
LOSS_COLUMNS: Final = ("fluency_loss", "fluency_loss_lower", "fluency_loss_upper")


def effect_table(
    outcomes: Outcomes,
    by: Sequence[str],
    *,
    n_bootstrap: int,
    seed: int,
    halves: Sequence[str] = HALVES,
) -> pd.DataFrame:
    """Estimate the effect of each condition on each score, with prompts as samples.

    Args:
        outcomes: Lines of the baseline and of conditions on the same distinct prompts. If lines
            of the baseline have a ``cluster``, clusters are the samples of intervals.
        by: Coordinates that identify a condition.
        n_bootstrap: Number of resamples; all conditions of a half share them.
        seed: Seed of the resamples.
        halves: The halves of the prompts to use.

    Returns:
        One line per half, condition and score: ``half``, the coordinates, and ``EFFECT_COLUMNS``:
        the number ``n`` of prompts, means, the mean difference with its 95 % interval, and Cohen's
        d of the paired differences with its interval; ``cohen_d_pooled``, the mean difference over
        the root mean square of both deviations; ``n_clusters``, and ``few_clusters`` where they
        amount to fewer than 20 of equal size, so that intervals are rough; and ``SHARE_COLUMNS``,
        the shares of the prompts whose score falls and rises. Fluency is ``fluency.nll``, in nats
        per token.
    """
    keys = outcomes.keys
    lines: list[dict[str, Any]] = []
    for half in halves:
        of_half = outcomes.where(half=half)
        baseline = of_half.baseline
        prompts = baseline.table["prompt"].tolist()
        clusters = number_clusters(baseline.table.get(CLUSTER, pd.Series(prompts)).tolist())
        before = baseline.values(keys)
        counts = resampled_counts(len(prompts), n_bootstrap, seed, clusters)
        units = {
            "n_clusters": len(prompts) if clusters is None else len(set(clusters.tolist())),
            "few_clusters": clusters is not None and are_few(cluster_df(clusters)),
        }
        for where, condition in conditions_of(of_half, by):
            after = in_order(condition, prompts).values(keys)
            effects = metric_effects(before, after, counts, clusters)
            shared = {"half": half, **where, "n": len(prompts), **units}
            shares = zip((after < before).mean(axis=0), (after > before).mean(axis=0), strict=True)
            lines += [
                {**shared, **line, **dict(zip(SHARE_COLUMNS, map(float, share), strict=True))}
                for line, share in zip(_lines(effects, keys), shares, strict=True)
            ]
    return pd.DataFrame(lines, columns=["half", *by, *EFFECT_COLUMNS, *SHARE_COLUMNS])


def in_halves(outcomes: Outcomes, clusters: Mapping[str, str], seed: int) -> Outcomes:
    """Add the half and the cluster of each line's prompt.

    Args:
        outcomes: Lines of a sweep.
        clusters: Cluster of each distinct prompt; the halves share none.
        seed: Seed of the halves.
    """
    select = set(halve_texts(list(clusters), seed, clusters).select)
    prompts = outcomes.table["prompt"]
    half = prompts.map(lambda text: "select" if text in select else "confirm")
    return Outcomes(outcomes.table.assign(half=half, cluster=prompts.map(clusters)))


def conditions_of(
    outcomes: Outcomes, by: Sequence[str]
) -> Iterator[tuple[dict[str, Any], Outcomes]]:
    """Yield each condition's coordinates and lines, without the baseline."""
    return Outcomes(outcomes.table[outcomes.table["kind"] != BASELINE_KIND]).groups(by)


def in_order(outcomes: Outcomes, prompts: Sequence[str]) -> Outcomes:
    """Return one condition's lines in the order of the given distinct prompts."""
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
            "cohen_d_pooled": float(effects.cohen_d_pooled[column]),
        }


def mean_shift(
    condition: Outcomes, baseline: Outcomes, keys: Sequence[str]
) -> Float[np.ndarray, " key"]:
    """Return the change of each score's mean from the baseline to a condition."""
    shift: np.ndarray = condition.values(keys).mean(axis=0) - baseline.values(keys).mean(axis=0)
    return shift


def own_effects(table: pd.DataFrame, own_metric: pd.Series) -> pd.DataFrame:
    """Keep each condition's effect on one metric, and add its loss of fluency.

    Args:
        table: The result of ``effect_table``.
        own_metric: For each line, the ``metric.label`` to keep for its condition.

    Returns:
        The kept lines in their order, with ``fluency_loss``, ``fluency_loss_lower`` and
        ``fluency_loss_upper`` in nats per token.
    """
    return _with_losses(table[table["metric_name"] == own_metric], table)


def with_losses(table: pd.DataFrame) -> pd.DataFrame:
    """Add to each effect what its condition costs.

    Args:
        table: The result of ``effect_table``.

    Returns:
        All lines, with ``fluency_loss``, ``fluency_loss_lower`` and ``fluency_loss_upper`` in nats
        per token.
    """
    return _with_losses(table, table)


def _with_losses(kept: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    names = {"mean_diff": "", "ci_lower": "_lower", "ci_upper": "_upper"}
    fluency = table[table["metric_name"] == metric_name(FLUENCY)]
    columns = [name for name in table.columns if name not in (*EFFECT_COLUMNS, *SHARE_COLUMNS)]
    losses = fluency[[*columns, *names]].rename(
        columns={name: f"fluency_loss{end}" for name, end in names.items()}
    )
    return kept.merge(losses, on=columns, how="left", validate="many_to_one")
