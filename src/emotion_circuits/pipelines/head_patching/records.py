"""From generated texts to the records and the tidy table of head patching."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emotion_circuits.circuits import format_heads, pair_rows
from emotion_circuits.emotions import EMOTIONS
from emotion_circuits.pipelines.head_patching.plans import Plan
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.pipelines.head_prompts import HeadPrompts, nest

Scores = dict[str, np.ndarray]


class Texts(NamedTuple):
    """Continuations with what was read off them.

    Attributes:
        texts: The continuations.
        scores: Of the texts.
        nll: Nats per token under the unpatched model.
    """

    texts: list[str]
    scores: Scores
    nll: np.ndarray

    def part(self, start: int, stop: int) -> Texts:
        """Give some of them."""
        scores = {key: values[start:stop] for key, values in self.scores.items()}
        return Texts(self.texts[start:stop], scores, self.nll[start:stop])


class Outcome(NamedTuple):
    """A plan with what came out of it.

    Attributes:
        plan: What was done.
        said: Continuations, one for each of the plan's rows.
    """

    plan: Plan
    said: Texts


def record(data: HeadPrompts, outcome: Outcome, baseline: Texts) -> dict[str, Any]:
    """Give one combination in the form of SCHEMAS: lists with an entry for each prompt."""
    plan, said = outcome
    table = data.table.iloc[plan.rows]
    found: dict[str, Any] = {
        "model": data.model.name,
        "heads": [tuple(head) for head in plan.heads.heads],
        "heads_by_half": {
            half: [tuple(head) for head in heads] for half, heads in plan.heads.of_half.items()
        },
        "head_set": plan.heads.name,
        "control": "" if plan.heads.kind == "chosen" else plan.heads.name,
        "emotion": plan.emotion,
        "prompts": table["text"].tolist(),
        "labels": table["emotion"].tolist(),
        "pair_ids": table["pair_id"].tolist(),
        "halves": table["half"].tolist(),
        "baseline_texts": [baseline.texts[row] for row in plan.rows],
        "patched_texts": said.texts,
        "baseline_metrics": [nest(baseline.scores, row) for row in plan.rows],
        "patched_metrics": [nest(said.scores, place) for place in range(len(plan.rows))],
        "baseline_fluency": baseline.nll[plan.rows].tolist(),
        "patched_fluency": said.nll.tolist(),
    }
    if plan.ablation:
        found["ablation"] = plan.ablation
    else:
        found |= {"direction": plan.direction, "mode": plan.mode}
    if max(plan.sources, default=-1) >= 0:
        found["source_prompts"] = [data.table["text"].iloc[row] for row in plan.sources]
        found["source_labels"] = [data.table["emotion"].iloc[row] for row in plan.sources]
        found["source_texts"] = [baseline.texts[row] for row in plan.sources]
    return found


def tidy_rows(
    data: HeadPrompts, outcomes: list[Outcome], baseline: Texts, settings: HeadPatchingSettings
) -> pd.DataFrame:
    """Give one row for each pair and combination, with the pair's own emotion's metric.

    Returns:
        ``emotion_value`` and ``neutral_value``: the metric on the pair's unpatched texts;
        ``patched_value``; ``recovered``: how far patching moved it towards the other prompt of
        the pair, or, for ablation, how far it lowered it on the emotion's prompt;
        ``fluency_loss``: nats per token under the unpatched model, patched minus unpatched. For
        ablation also ``neutral_patched_value``: the metric on the neutral prompt under the same
        ablation; ``neutral_shift``: how far that raised it; ``contrast_drop``: how far ablation
        lowered the difference between the two prompts; NaN for patching.
    """
    parts = []
    for outcome in outcomes:
        plan = outcome.plan
        for emotion in [plan.emotion] if plan.emotion else EMOTIONS:
            key = settings.target_metrics[emotion]
            for row, values in _values(data, outcome, baseline, emotion, key):
                parts.append(
                    {
                        "model_name": data.model.name,
                        "what": "ablation" if plan.ablation else "patching",
                        "emotion": emotion,
                        "direction": plan.direction,
                        "mode": plan.mode,
                        "ablation": plan.ablation,
                        "head_set": plan.heads.name,
                        "heads": format_heads(plan.heads.of_half[data.table["half"].iloc[row]]),
                        "pair_id": data.table["pair_id"].iloc[row],
                        "half": data.table["half"].iloc[row],
                        "prompt": data.table["text"].iloc[row],
                        "metric": key.replace("/", ".", 1),
                        **values,
                    }
                )
    return pd.DataFrame(parts)


def _values(
    data: HeadPrompts, outcome: Outcome, baseline: Texts, emotion: str, key: str
) -> Iterator[tuple[int, dict[str, float]]]:
    """Give each pair's changed prompt and its numbers."""
    plan, said = outcome
    place_of = {
        (row, source): place
        for place, (row, source) in enumerate(zip(plan.rows, plan.sources, strict=True))
    }
    by_row = {row: place for place, row in enumerate(plan.rows)}
    before, after = baseline.scores[key], said.scores[key]
    for ours, neutral in pair_rows(data.table, emotion):
        to_neutral = plan.direction == "emotion_to_neutral"
        row, source = (neutral, ours) if to_neutral else (ours, neutral)
        place = by_row.get(row) if plan.ablation else place_of.get((row, source))
        if place is None:
            continue
        moved = float(after[place] - before[row])
        recovered = moved if to_neutral else -moved
        beside = float(after[by_row[neutral]]) if plan.ablation else float("nan")
        shift = beside - float(before[neutral])
        yield (
            row,
            {
                "emotion_value": float(before[ours]),
                "neutral_value": float(before[neutral]),
                "patched_value": float(after[place]),
                "recovered": recovered,
                "neutral_patched_value": beside,
                "neutral_shift": shift,
                "contrast_drop": recovered + shift,
                "fluency_loss": float(said.nll[place] - baseline.nll[row]),
            },
        )
