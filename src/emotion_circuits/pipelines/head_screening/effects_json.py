"""The JSON of head screening: effects of each head's ablation, and the samples they are of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from emotion_circuits.emotions import LABELS
from emotion_circuits.pipelines.head_prompts import HeadPrompts, nest
from emotion_circuits.pipelines.head_screening.ablations import AblationEffects
from emotion_circuits.pipelines.head_screening.settings import HeadScreeningSettings

ALL: Final = "all"


def head_scores(
    data: HeadPrompts, effects: AblationEffects, settings: HeadScreeningSettings, profile: str
) -> dict[str, Any]:
    """Give the JSON of head screening.

    A head and metric stand once in ``head_scores``, and a head once in ``head_samples``: the main
    ablation, over prompts of all labels. The main ablation is ``mean`` where it was done.

    Returns:
        ``head_scores``: the mean change, its standard deviation over prompts (None for one
        prompt) and their number; ``head_scores_by_label``: the same for each ablation and label
        of the prompts; ``head_samples``: each prompt's label, target metrics and texts;
        ``other_head_samples``: the same under the other ablations; and what they were made from.
    """
    main = main_ablation(effects)
    others = [ablation for ablation in effects.patched if ablation != main]
    labels = data.table["emotion"].to_numpy()
    everywhere = np.arange(len(labels))
    of_label = {label: np.flatnonzero(labels == label) for label in LABELS}
    return {
        "profile": profile,
        "model": data.model.name,
        "layers": sorted({head.layer for head in effects.heads}),
        "prompts": data.table["text"].tolist(),
        "sequence_length": settings.sequence_length,
        "ablation": main,
        "labels": labels.tolist(),
        "pair_ids": data.table["pair_id"].tolist(),
        "halves": data.table["half"].tolist(),
        "head_scores": list(_score_rows(effects, settings, main, ALL, everywhere)),
        "head_samples": list(_sample_rows(data, effects, settings, main)),
        "head_scores_by_label": [
            row
            for ablation in effects.patched
            for label, rows in of_label.items()
            if len(rows)
            for row in _score_rows(effects, settings, ablation, label, rows)
        ],
        "other_head_samples": [
            entry
            for ablation in others
            for entry in _sample_rows(data, effects, settings, ablation)
        ],
    }


def main_ablation(effects: AblationEffects) -> str:
    """Give the ablation that is read where only one is: ``mean``, else the first."""
    return "mean" if "mean" in effects.patched else next(iter(effects.patched))


def _score_rows(
    effects: AblationEffects,
    settings: HeadScreeningSettings,
    ablation: str,
    label: str,
    rows: np.ndarray,
) -> Iterator[dict[str, Any]]:
    """Give each head's mean change of each metric over some prompts."""
    wanted = [
        key
        for key in effects.baseline
        if settings.metrics is None
        or key in settings.metrics
        or key in settings.target_metrics.values()
    ]
    for key in wanted:
        deltas = effects.patched[ablation][key][rows] - effects.baseline[key][rows, None]
        means = deltas.mean(0)
        spread = deltas.std(0, ddof=1) if len(rows) > 1 else None
        for place, head in enumerate(effects.heads):
            yield {
                "layer": head.layer,
                "head": head.head,
                "metric": key,
                "delta_mean": float(means[place]),
                "delta_std": None if spread is None else float(spread[place]),
                "n_samples": len(rows),
                "ablation": ablation,
                "label": label,
            }


def _sample_rows(
    data: HeadPrompts, effects: AblationEffects, settings: HeadScreeningSettings, ablation: str
) -> Iterator[dict[str, Any]]:
    """Give each head's samples over all prompts."""
    targets = list(dict.fromkeys(settings.target_metrics.values()))
    before = {key: effects.baseline[key] for key in targets}
    after = {key: effects.patched[ablation][key] for key in targets}
    for place, head in enumerate(effects.heads):
        yield {
            "layer": head.layer,
            "head": head.head,
            "ablation": ablation,
            "samples": [
                {
                    "prompt": text,
                    "label": label,
                    "baseline": nest(before, row),
                    "patched": nest(after, (row, place)),
                    "baseline_text": effects.baseline_texts[row],
                    "patched_text": effects.texts[ablation][row][place],
                }
                for row, (text, label) in enumerate(
                    zip(data.table["text"], data.table["emotion"], strict=True)
                )
            ],
        }
