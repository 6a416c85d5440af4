"""Overlaps of all layers, as a table and as the files of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from emotion_circuits.geometry.overlaps import Overlaps
from emotion_circuits.statistics import max_t_p, rank_p


def overlap_table(
    found: Mapping[tuple[int, int], Mapping[str, Overlaps]], method: str
) -> pd.DataFrame:
    """Put overlaps into rows: one a pair of layers, label and k.

    Args:
        found: For each pair of layers the overlaps of each label.
        method: Name of the map's method.

    Returns:
        ``layer_a``, ``layer_b``, ``method``, ``emotion``, ``k``, the overlaps, the mean and the
        95th percentile of the null, ``p_value``, and ``p_value_max``, which holds for all layers
        and k of the label together.
    """
    rows: list[dict[str, Any]] = []
    for (layer_a, layer_b), labels in found.items():
        for label, overlaps in labels.items():
            null = overlaps.null
            columns = {
                "overlap_before": overlaps.before,
                "overlap_after": overlaps.after,
                "chance": overlaps.chance,
                "chance_before": overlaps.chance_before,
                "null_mean": null.mean(axis=0),
                "null_p95": np.quantile(null, 0.95, axis=0),
                "p_value": rank_p(overlaps.after, null),
                "overlap_split": overlaps.split,
                "ceiling": overlaps.ceiling,
                "overlap_other_emotions": overlaps.other,
                "overlap_trained": overlaps.trained,
                "mean_principal_angle": overlaps.mean_angle,
            }
            shared = {"layer_a": layer_a, "layer_b": layer_b, "method": method, "emotion": label}
            rows += [
                {
                    **shared,
                    "k": place + 1,
                    **{name: float(values[place]) for name, values in columns.items()},
                }
                for place in range(len(overlaps.after))
            ]
    table = pd.DataFrame(rows)
    after = list(table.columns).index("p_value") + 1
    table.insert(after, "p_value_max", _max_p_values(found, table))
    return table


def _max_p_values(
    found: Mapping[tuple[int, int], Mapping[str, Overlaps]], table: pd.DataFrame
) -> pd.Series:
    values = pd.Series(np.nan, index=table.index)
    for label in table["emotion"].unique():
        # The rows of one label, in the table's order: by layers, then by k.
        of_label = [labels[label] for labels in found.values() if label in labels]
        observed = np.concatenate([overlaps.after for overlaps in of_label])
        null = np.concatenate([overlaps.null for overlaps in of_label], axis=1)
        values[table["emotion"] == label] = max_t_p(observed, null)
    return values


def full_result(table: pd.DataFrame, metadata: dict[str, Any]) -> dict[str, Any]:
    """Give the lines of a table of overlaps as records, with metadata.

    Args:
        table: What ``overlap_table`` gives, of emotions only.
        metadata: Of the pair.
    """
    emotions = table.rename(columns={"layer_a": "layer"})
    first = ["layer", "k", "emotion", "overlap_before", "overlap_after"]
    ordered = emotions[[*first, *(name for name in emotions.columns if name not in first)]]
    return {"results": ordered.to_dict(orient="records"), "metadata": metadata}


def k_sweep(
    table: pd.DataFrame,
    found: Mapping[tuple[int, int], Mapping[str, Overlaps]],
    model_a: str,
    model_b: str,
) -> dict[str, Any]:
    """Give overlaps after mapping by layer of A, emotion and k.

    Each leaf holds the draws that phase 7 chooses k by: ``overlap_null`` (shuffled pairs) and,
    where every draw spans as many directions, ``overlap_bootstrap`` (resampled pairs). Where
    there are other emotions, ``overlap_other`` is the overlap with theirs in B, and
    ``overlap_other_bootstrap`` the same in the same resamples. Draws of one number are the same
    in every layer.
    """
    sweep: dict[int, dict[str, dict[int, dict[str, Any]]]] = {}
    for row in table.to_dict(orient="records"):
        k = int(row["k"])
        overlaps = found[row["layer_a"], row["layer_b"]][row["emotion"]]
        draws: dict[str, Any] = {"overlap_null": overlaps.null[:, k - 1]}
        if not np.isnan(overlaps.resampled[:, k - 1]).any():
            draws["overlap_bootstrap"] = overlaps.resampled[:, k - 1]
        if not np.isnan(overlaps.other[k - 1]):
            draws["overlap_other"] = float(overlaps.other[k - 1])
            if not np.isnan(overlaps.resampled_other[:, k - 1]).any():
                draws["overlap_other_bootstrap"] = overlaps.resampled_other[:, k - 1]
        sweep.setdefault(int(row["layer_a"]), {}).setdefault(row["emotion"], {})[k] = {
            **draws,
            "overlap_cos_squared": row["overlap_after"],
            "mean_principal_angle": row["mean_principal_angle"],
            "chance": row["chance"],
            "null_mean": row["null_mean"],
            "null_p95": row["null_p95"],
            "p_value": row["p_value"],
        }
    return {"model_a": model_a, "model_b": model_b, "sweep_results": sweep}
