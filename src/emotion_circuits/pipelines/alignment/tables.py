"""Overlaps of all layers, as a table and in the form of the contract's files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.geometry.overlaps import Overlaps
from emotion_circuits.geometry.specificity import Against
from emotion_circuits.statistics import max_t_p, rank_p
from emotion_circuits.statistics.k_specificity import AGAINST, Specificity, join, specific_p

SPECIFICITY: Final = (
    *("closest_emotion", "overlap_halves", "overlap_halves_closest", "own_share", "closest_share"),
    *("specificity", "specificity_p", "specificity_p_max"),
)


Compared = Mapping[tuple[int, int], Mapping[str, Mapping[str, Against]]]


def overlap_table(
    by_layers: Mapping[tuple[int, int], Mapping[str, Overlaps]], compared: Compared, method: str
) -> pd.DataFrame:
    """Make a table of overlaps with one line per pair of layers, label and k.

    Args:
        by_layers: For each pair of layers, the overlaps of each label.
        compared: For each pair of layers and emotion, the comparison with each other emotion.
        method: Name of the map's method.

    Returns:
        ``layer_a``, ``layer_b``, ``method``, ``emotion``, ``k``, the overlaps, the mean and the
        95th percentile of the null, ``p_value``, and ``p_value_max``, corrected for all layers and
        k of the label; then the columns of ``SPECIFICITY``, of which ``specificity_p_max`` is
        corrected likewise.
    """
    lines: list[dict[str, Any]] = []
    for (layer_a, layer_b), labels in by_layers.items():
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
            lines += [
                {
                    **shared,
                    "k": index + 1,
                    **{name: float(values[index]) for name, values in columns.items()},
                }
                for index in range(len(overlaps.after))
            ]
    table = pd.DataFrame(lines)
    after = list(table.columns).index("p_value") + 1
    table.insert(after, "p_value_max", _max_p_values(by_layers, table))
    return _add_specificity(table, compared)


def _add_specificity(table: pd.DataFrame, compared: Compared) -> pd.DataFrame:
    """Add each line's comparison with the closest other emotion, on disjoint halves."""
    table = table.assign(**dict.fromkeys(SPECIFICITY, np.nan))
    table["closest_emotion"] = table["closest_emotion"].astype(object)
    for emotion in table["emotion"].unique():
        # The order of the table's lines of an emotion: by layers, then by k.
        lines = table.index[table["emotion"] == emotion]
        cells = [table.loc[line, ["layer_a", "layer_b", "k"]].tolist() for line in lines]
        by_cell = [compared.get((a, b), {}).get(emotion, {}) for a, b, _ in cells]
        others = [set(each) for each in by_cell]
        if not others[0] or any(each != others[0] for each in others):
            continue
        families = {
            other: join(
                [
                    Specificity(*(part[..., k - 1 : k] for part in each[other]))
                    for each, (_, _, k) in zip(by_cell, cells, strict=True)
                ]
            )
            for other in sorted(others[0])
        }
        differences = np.stack([family.difference for family in families.values()])
        closest = np.nan_to_num(differences, nan=np.inf).argmin(axis=0)
        for name, part in (
            ("overlap_halves", "own"),
            ("overlap_halves_closest", "other"),
            ("own_share", "own_share"),
            ("closest_share", "other_share"),
        ):
            values = np.stack([getattr(family, part) for family in families.values()])
            table.loc[lines, name] = np.take_along_axis(values, closest[None], axis=0)[0]
        table.loc[lines, "closest_emotion"] = np.array(list(families), dtype=object)[closest]
        table.loc[lines, "specificity"] = np.take_along_axis(differences, closest[None], axis=0)[0]
        tests = list(families.values())
        table.loc[lines, "specificity_p"] = specific_p(tests, corrected=False)
        table.loc[lines, "specificity_p_max"] = specific_p(tests, corrected=True)
    return table


def _max_p_values(
    by_layers: Mapping[tuple[int, int], Mapping[str, Overlaps]], table: pd.DataFrame
) -> pd.Series:
    values = pd.Series(np.nan, index=table.index)
    for label in table["emotion"].unique():
        # The order of the table's lines of a label: by layers, then by k.
        of_label = [labels[label] for labels in by_layers.values() if label in labels]
        observed = np.concatenate([overlaps.after for overlaps in of_label])
        null = np.concatenate([overlaps.null for overlaps in of_label], axis=1)
        values[table["emotion"] == label] = max_t_p(observed, null)
    return values


def full_result(table: pd.DataFrame, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return a table of overlaps as records, with metadata.

    Args:
        table: The result of ``overlap_table`` for emotions.
        metadata: Metadata of the pair of models.
    """
    emotions = table.rename(columns={"layer_a": "layer"})
    first = ["layer", "k", "emotion", "overlap_before", "overlap_after"]
    ordered = emotions[[*first, *(name for name in emotions.columns if name not in first)]]
    return {"results": ordered.to_dict(orient="records"), "metadata": metadata}


def k_sweep(
    table: pd.DataFrame,
    by_layers: Mapping[tuple[int, int], Mapping[str, Overlaps]],
    compared: Compared,
    model_a: str,
    model_b: str,
) -> dict[str, Any]:
    """Return overlaps after mapping by layer of A, emotion and k.

    Each leaf holds the draws by which phase 7 chooses k: ``overlap_null`` (shuffled pairs) and, if
    every draw spans k directions, ``overlap_bootstrap`` (resampled pairs). With other emotions,
    ``overlap_other`` is the overlap with their subspaces in B, and ``specificity`` has for each
    other emotion the fields of ``Against`` at this k. Draw i is the same shuffle, resample or
    exchange in every layer.
    """
    sweep: dict[int, dict[str, dict[int, dict[str, Any]]]] = {}
    for line in table.to_dict(orient="records"):
        k = int(line["k"])
        overlaps = by_layers[line["layer_a"], line["layer_b"]][line["emotion"]]
        draws: dict[str, Any] = {"overlap_null": overlaps.null[:, k - 1]}
        if not np.isnan(overlaps.resampled[:, k - 1]).any():
            draws["overlap_bootstrap"] = overlaps.resampled[:, k - 1]
        if not np.isnan(overlaps.other[k - 1]):
            draws["overlap_other"] = float(overlaps.other[k - 1])
        against = compared.get((line["layer_a"], line["layer_b"]), {}).get(line["emotion"], {})
        if against:
            draws[AGAINST] = {
                other: {name: part[..., k - 1] for name, part in each._asdict().items()}
                for other, each in against.items()
            }
        sweep.setdefault(int(line["layer_a"]), {}).setdefault(line["emotion"], {})[k] = {
            **draws,
            "overlap_cos_squared": line["overlap_after"],
            "mean_principal_angle": line["mean_principal_angle"],
            "chance": line["chance"],
            "null_mean": line["null_mean"],
            "null_p95": line["null_p95"],
            "p_value": line["p_value"],
        }
    return {"model_a": model_a, "model_b": model_b, "sweep_results": sweep}
