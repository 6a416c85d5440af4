"""From head screening to comparisons: text by text where that is known, else from summaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.pipelines.statistics.reading import metric_name, samples_by_metric
from emotion_circuits.statistics import Comparison, ComparisonKey, Summary, average_repeats

# What a score is; anything else that is a text tells scores of one head apart.
_KNOWN: Final = {"layer", "head", "metric", "prompt", "text"}


def screening_comparisons(
    scores: Mapping[str, Any], samples: pd.DataFrame | None, profile: str, model: str
) -> Iterator[Comparison | Summary]:
    """Compare each head's ablation with the model as it is.

    Args:
        scores: What phase 6 writes as ``head_scores``.
        samples: One row per layer, head, metric and prompt with ``baseline`` and ``patched``, or
            None. What is not in it, nor as metrics in the scores' own ``head_samples``, has
            only mean, deviation and number.
        profile: Name of the profile.
        model: Name of the model.
    """
    found = {item.key: item for item in _sampled(scores, profile, model)}
    if samples is not None:
        found |= {item.key: item for item in _tabled(samples, profile, model)}
    yield from found.values()
    # Where scores of each label are there, those over all labels would only repeat them.
    for score in scores.get("head_scores_by_label") or scores["head_scores"]:
        key = _key(score, profile, model, metric_name(str(score["metric"])), _variant(score))
        if key not in found:
            n, factor = _distinct(int(score["n_samples"]), scores.get("prompts") or [])
            mean, std = (_number(score[name]) for name in ("delta_mean", "delta_std"))
            yield Summary(key, mean, std * factor, n)


def _sampled(scores: Mapping[str, Any], profile: str, model: str) -> Iterator[Comparison]:
    """Read samples that are metrics, label by label; texts alone have no values."""
    for entry in [*(scores.get("head_samples") or []), *(scores.get("other_head_samples") or [])]:
        by_label: dict[str, list[Mapping[str, Any]]] = {}
        for item in entry["samples"]:
            if isinstance(item["patched"], Mapping):
                by_label.setdefault(str(item.get("label", "")), []).append(item)
        for label, samples in by_label.items():
            variant = _variant({"label": label, **entry})
            sides = [
                samples_by_metric((item["prompt"], item[side]) for item in samples)
                for side in ("baseline", "patched")
            ]
            for name in sides[0].keys() & sides[1].keys():
                key = _key(entry, profile, model, name, variant)
                yield Comparison(key, sides[0][name], sides[1][name])


def _tabled(samples: pd.DataFrame, profile: str, model: str) -> Iterator[Comparison]:
    extra = sorted(
        name
        for name in samples.columns
        if name not in _KNOWN and pd.api.types.is_string_dtype(samples[name])
    )
    columns = ["layer", "head", "metric", *extra]
    for values, rows in samples.groupby(columns, sort=True, dropna=False):
        entry = dict(zip(columns, values, strict=True))
        variant = " ".join(str(entry[name]) for name in extra if entry[name])
        key = _key(entry, profile, model, metric_name(str(entry["metric"])), variant)
        baseline, patched = (
            average_repeats(rows["prompt"], rows[side]) for side in ("baseline", "patched")
        )
        yield Comparison(key, baseline, patched)


def _key(
    entry: Mapping[str, Any], profile: str, model: str, metric: str, variant: str
) -> ComparisonKey:
    layer, head = int(entry["layer"]), int(entry["head"])
    return ComparisonKey(
        *(profile, "head_screening", model, "", layer, head, f"{layer}:{head}", None),
        *("screened_vs_baseline", metric, variant),
    )


def _variant(entry: Mapping[str, Any]) -> str:
    """Join what else is said of a score, such as the kind of ablation."""
    names = sorted(name for name in entry if name not in _KNOWN and isinstance(entry[name], str))
    return " ".join(entry[name] for name in names if entry[name])


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _distinct(n_samples: int, prompts: list[str]) -> tuple[int, float]:
    """Count distinct texts only, and mend the deviation of values that are all repeated.

    Each text r times gives the deviation √((n-1) r / (n r - 1)) of what it is over the n texts.
    """
    counts = Counter(prompts)
    n = min(n_samples, len(counts)) if counts else n_samples
    times = set(counts.values())
    if n == n_samples or n < 2 or times != {n_samples // n}:
        return n, 1.0
    return n, float(np.sqrt((n_samples - 1) / n_samples * n / (n - 1)))
