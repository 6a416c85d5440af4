"""From generated texts to the records, the tidy table and the summary of head patching."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from emotion_circuits.circuits import format_heads, pair_rows, ratio_interval
from emotion_circuits.circuits.intervals import mean_interval
from emotion_circuits.emotions import EMOTIONS
from emotion_circuits.pipelines.head_patching.plans import Plan
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.pipelines.head_prompts import HeadPrompts, nest

Scores = dict[str, np.ndarray]
_KEYS: Final = ["what", "emotion", "direction", "mode", "ablation"]


class Outcome(NamedTuple):
    """A plan with what came out of it.

    Attributes:
        plan: What was done.
        texts: Continuations, one for each of the plan's rows.
        scores: Of the texts.
    """

    plan: Plan
    texts: list[str]
    scores: Scores


def record(
    data: HeadPrompts, outcome: Outcome, baseline_texts: list[str], baseline: Scores
) -> dict[str, Any]:
    """Give one combination in the form of SCHEMAS: lists with an entry for each prompt."""
    plan = outcome.plan
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
        "baseline_texts": [baseline_texts[row] for row in plan.rows],
        "patched_texts": outcome.texts,
        "baseline_metrics": [nest(baseline, row) for row in plan.rows],
        "patched_metrics": [nest(outcome.scores, place) for place in range(len(plan.rows))],
    }
    if plan.ablation:
        found["ablation"] = plan.ablation
    else:
        found |= {"direction": plan.direction, "mode": plan.mode}
    if max(plan.sources, default=-1) >= 0:
        found["source_prompts"] = [data.table["text"].iloc[row] for row in plan.sources]
        found["source_texts"] = [baseline_texts[row] for row in plan.sources]
    return found


def tidy_rows(
    data: HeadPrompts, outcomes: list[Outcome], baseline: Scores, settings: HeadPatchingSettings
) -> pd.DataFrame:
    """Give one row for each pair and combination, with the pair's own emotion's metric.

    Returns:
        ``emotion_value`` and ``neutral_value``: the metric on the pair's unpatched texts;
        ``patched_value``; and ``recovered``: how far patching moved it towards the other prompt
        of the pair, or, for ablation, how far it lowered it on the emotion's prompt.
    """
    parts = []
    for outcome in outcomes:
        plan = outcome.plan
        place_of = {
            (row, source): place
            for place, (row, source) in enumerate(zip(plan.rows, plan.sources, strict=True))
        }
        by_row = {row: place for place, row in enumerate(plan.rows)}
        for emotion in [plan.emotion] if plan.emotion else EMOTIONS:
            key = settings.target_metrics[emotion]
            for ours, neutral in pair_rows(data.table, emotion):
                to_neutral = plan.direction == "emotion_to_neutral"
                row, source = (neutral, ours) if to_neutral else (ours, neutral)
                place = by_row.get(row) if plan.ablation else place_of.get((row, source))
                if place is None:
                    continue
                patched = float(outcome.scores[key][place])
                own = float(baseline[key][row])
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
                        "emotion_value": float(baseline[key][ours]),
                        "neutral_value": float(baseline[key][neutral]),
                        "patched_value": patched,
                        "recovered": patched - own if to_neutral else own - patched,
                    }
                )
    return pd.DataFrame(parts)


def summarize(tidy: pd.DataFrame, settings: HeadPatchingSettings) -> pd.DataFrame:
    """Say which share of each emotion's effect each set of heads recovers, beside random sets.

    The effect is the mean of the emotion's metric on its prompts minus that on their neutral
    ones; the share is the mean recovered over that. The control is averaged over random sets,
    pair by pair.

    Args:
        tidy: What ``tidy_rows`` gives.
        settings: Resamples.

    Returns:
        One row a combination, with 95 % bootstrap intervals over pairs; ``excess`` is the share
        beyond that of random sets of the same size, NaN for single heads, which have none.
    """
    rows = []
    for keys, whole in _with_pooled(tidy).groupby(_KEYS, sort=False):
        control, n_random, spread = _control(whole)
        for name, part in whole.groupby("head_set", sort=False):
            if str(name).startswith("random"):
                continue
            matched = control if name == "chosen" else None
            rows.append(
                dict(zip(_KEYS, keys, strict=True))
                | {"head_set": name, "heads": " | ".join(dict.fromkeys(part["heads"]))}
                | _shares(part, matched, settings)
                | {"n_random": n_random if matched is not None else 0}
                | (spread if matched is not None else dict.fromkeys(spread, float("nan")))
            )
    table = pd.DataFrame(rows)
    table.insert(0, "model_name", tidy["model_name"].iloc[0])
    return table


def _with_pooled(tidy: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([tidy, tidy.assign(emotion="pooled")], ignore_index=True)


def _control(whole: pd.DataFrame) -> tuple[np.ndarray | None, int, dict[str, float]]:
    """Average what random sets recover on each pair; the smallest and largest share of a set."""
    random = whole[whole["head_set"].str.startswith("random")]
    if random.empty:
        return None, 0, {"random_smallest": float("nan"), "random_largest": float("nan")}
    # Each set has the same pairs in the same order.
    draws = np.stack([part["recovered"] for _, part in random.groupby("head_set", sort=False)])
    chosen = whole[whole["head_set"] == "chosen"]
    effect = float((chosen["emotion_value"] - chosen["neutral_value"]).mean())
    shares = draws.mean(1) / effect if effect else np.full(len(draws), np.nan)
    return (
        draws.mean(0),
        len(draws),
        {"random_smallest": float(shares.min()), "random_largest": float(shares.max())},
    )


def _shares(
    part: pd.DataFrame, control: np.ndarray | None, settings: HeadPatchingSettings
) -> dict[str, float]:
    recovered = part["recovered"].to_numpy()
    effect = (part["emotion_value"] - part["neutral_value"]).to_numpy()
    options: dict[str, int] = {"n_bootstrap": settings.n_bootstrap, "seed": settings.seed}
    mean, lower, upper = mean_interval(recovered, **options)
    found = {
        "n_pairs": len(part),
        "effect": float(effect.mean()),
        "recovered": float(mean),
        "recovered_lower": float(lower),
        "recovered_upper": float(upper),
    }
    nothing = np.full(len(part), np.nan)
    for name, values in (
        ("fraction", recovered),
        ("random_fraction", nothing if control is None else control),
        ("excess", nothing if control is None else recovered - control),
    ):
        share = ratio_interval(values, effect, **options)
        found |= {name: share.value, f"{name}_lower": share.lower, f"{name}_upper": share.upper}
    return found
