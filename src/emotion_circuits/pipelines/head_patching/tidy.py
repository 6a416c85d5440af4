"""The tidy table of head patching: one line for each pair of prompts and combination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.experiments import Outcomes, metric_name
from emotion_circuits.experiments.contract.heads import COMBINATION
from emotion_circuits.experiments.outcomes import BASELINE_KIND
from emotion_circuits.experiments.paired_prompts import PairedPrompts

# What differs from pair to pair of a combination.
_OWN: Final = ("heads", "pair_id", "half", "prompt")


def pair_table(prompts: PairedPrompts, outcomes: Outcomes) -> pd.DataFrame:
    """Give what each combination does to each pair, in the metric of the pair's own emotion.

    Args:
        prompts: The prompts.
        outcomes: The baseline of every prompt, and the lines of ``HeadPlanner``.

    Returns:
        ``emotion_value`` and ``neutral_value``: the metric on the pair's unpatched texts;
        ``patched_value``; ``recovered``: how far patching moved it towards the other prompt of
        the pair, or, for ablation, how far it lowered it on the emotion's prompt;
        ``fluency_loss``: nats per token under the unpatched model, patched minus unpatched. For
        ablation also ``neutral_patched_value``: the metric on the neutral prompt under the same
        ablation; ``neutral_shift``: how far that raised it; ``contrast_drop``: how far ablation
        lowered the difference between the two prompts; NaN for patching.
    """
    baseline = outcomes.baseline
    changed = Outcomes(outcomes.table[outcomes.table["kind"] != BASELINE_KIND])
    lines: list[dict[str, Any]] = []
    for where, part in changed.groups(COMBINATION):
        columns = {name: part.table[name].tolist() for name in _OWN}
        for emotion in [where["emotion"]] if where["emotion"] else prompts.emotions.names:
            key = prompts.emotions.target_metrics[emotion]
            shared = {
                "model_name": prompts.model.name,
                "what": "ablation" if where["kind"] == "ablation" else "patching",
                "emotion": emotion,
                **{name: where[name] for name in ("direction", "mode", "ablation", "head_set")},
            }
            for place, values in _pair_values(prompts, part, baseline, emotion, key, where):
                own = {name: column[place] for name, column in columns.items()}
                lines.append({**shared, **own, "metric": metric_name(key), **values})
    return pd.DataFrame(lines)


def _pair_values(
    prompts: PairedPrompts,
    part: Outcomes,
    baseline: Outcomes,
    emotion: str,
    key: str,
    where: Mapping[str, Any],
) -> Iterator[tuple[int, dict[str, float]]]:
    """Give the place of each pair's changed text among a combination's, and the pair's numbers."""
    is_ablation = where["kind"] == "ablation"
    to_neutral = where["direction"] == "emotion_to_neutral"
    indices, sources = (part.table[name].tolist() for name in ("prompt_index", "source_index"))
    # An ablation has a prompt once, whatever its source; patching has it once for each partner.
    names = indices if is_ablation else list(zip(indices, sources, strict=True))
    place_of: dict[Any, int] = {name: place for place, name in enumerate(names)}
    before, after = baseline.values([key])[:, 0], part.values([key])[:, 0]
    costs = part.table["fluency"].to_numpy() - baseline.table["fluency"].to_numpy()[indices]
    for ours, neutral in prompts.pairs(emotion):
        index, source = (neutral, ours) if to_neutral else (ours, neutral)
        place = place_of.get(index if is_ablation else (index, source))
        if place is None:
            continue
        moved = float(after[place] - before[index])
        recovered = moved if to_neutral else -moved
        beside = float(after[place_of[neutral]]) if is_ablation else np.nan
        shift = beside - float(before[neutral])
        yield (
            place,
            {
                "emotion_value": float(before[ours]),
                "neutral_value": float(before[neutral]),
                "patched_value": float(after[place]),
                "recovered": recovered,
                "neutral_patched_value": beside,
                "neutral_shift": shift,
                "contrast_drop": recovered + shift,
                "fluency_loss": float(costs[place]),
            },
        )
