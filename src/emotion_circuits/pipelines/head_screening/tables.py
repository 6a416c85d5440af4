"""From effects and readings to the tables of head screening."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.circuits import rank_agreement
from emotion_circuits.experiments.head_sets import HEAD_SCORES, POOLED
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.pipelines.head_screening.ablations import AblationEffects
from emotion_circuits.pipelines.head_screening.settings import HeadScreeningSettings
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.statistics.ratios import mean_interval

BOTH: Final = "both"
_WITH_INTERVAL: Final = tuple(
    f"{name}_{ablation}"
    for name in ("drop", "reaction_drop", "logit_drop")
    for ablation in ("zero", "mean")
)
# Where a pair belongs: its half of the prompts, and the pairs that share its neutral prompt.
_PLACES: Final = ("half", "pair_id")

Pairs = list[tuple[int, int]]
Columns = dict[str, np.ndarray]  # [pair, head] each, but [pair] for _PLACES


def pair_scores(
    prompts: PairedPrompts,
    effects: AblationEffects,
    readings: Mapping[str, Any],
    emotion: str,
    settings: HeadScreeningSettings,
) -> Columns:
    """Give every score of every head on every pair of an emotion.

    Returns:
        ``drop_<ablation>``: how far ablation lowers the emotion's metric on its prompt;
        ``neutral_shift_<ablation>``: how far it raises the same metric on the pair's neutral one;
        ``reaction_drop_<ablation>``: how far it lowers the log-probability per token of the
        model's own reaction against that of its reaction to the neutral prompt;
        ``logit_drop_<ablation>``: how far it lowers the log odds that the next token marks the
        emotion; ``direct_write``: emotion minus neutral; attention to the cue, from the last
        position and from those after it, on the emotion's prompt and on the neutral one; and
        attributions. ``half`` and ``pair_id`` ``[pair]`` say where a pair belongs.
    """
    target, place = prompts.emotions.target_metrics[emotion], prompts.emotions.place(emotion)
    pairs = np.array(prompts.pairs(emotion), dtype=int).reshape(-1, 2)
    ours, neutral = pairs[:, 0], pairs[:, 1]
    found: Columns = {name: prompts.table[name].to_numpy()[ours] for name in _PLACES}
    scores = effects.outcomes.values([target])[:, 0]
    odds, preference = effects.odds[:, place], effects.preference
    before = [effects.baseline(values) for values in (scores, odds, preference)]
    for ablation in settings.ablations:
        after = [effects.ablated(values, ablation) for values in (scores, odds, preference)]
        found[f"drop_{ablation}"] = before[0][ours, None] - after[0][ours]
        found[f"neutral_shift_{ablation}"] = after[0][neutral] - before[0][neutral, None]
        found[f"logit_drop_{ablation}"] = before[1][ours, None] - after[1][ours]
        found[f"reaction_drop_{ablation}"] = before[2][ours, None] - after[2][ours]
    writes = readings["writes"][emotion]
    found["direct_write"] = writes[ours] - writes[neutral]
    for name in ("cue_attention_last", "cue_attention_after"):
        found[name] = readings[name][ours]
        found[f"{name}_neutral"] = readings[name][neutral]
    for name, values in readings["attributions"].items():
        found[name] = values[ours]
    return found


def score_table(
    prompts: PairedPrompts,
    effects: AblationEffects,
    readings: Mapping[str, Any],
    settings: HeadScreeningSettings,
) -> pd.DataFrame:
    """Average scores over pairs: for each half, for both together, each emotion and all pooled.

    Returns:
        One line a head, emotion and half; the scores' names are ``pair_scores``' with ``_lower``
        and ``_upper`` for 95 % bootstrap intervals where they are given; pairs that share a neutral
        prompt are resampled together.
    """
    each = {
        emotion: pair_scores(prompts, effects, readings, emotion, settings)
        for emotion in prompts.emotions.names
    }
    each = {emotion: columns for emotion, columns in each.items() if len(columns["half"])}
    names = list(next(iter(each.values())))
    pooled = {name: np.concatenate([columns[name] for columns in each.values()]) for name in names}
    parts = []
    for emotion, columns in {**each, POOLED: pooled}.items():
        for half in (*PAIR_HALVES, BOTH):
            chosen = (
                np.ones(len(columns["half"]), bool) if half == BOTH else columns["half"] == half
            )
            part = {name: values[chosen] for name, values in columns.items()}
            if not chosen.any():
                continue
            frame = pd.DataFrame(_averages(part, settings))
            frame.insert(0, "n_pairs", int(chosen.sum()))
            frame.insert(0, "half", half)
            frame.insert(0, "emotion", emotion)
            frame.insert(0, "head", [head.head for head in effects.heads])
            frame.insert(0, "layer", [head.layer for head in effects.heads])
            parts.append(frame)
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "model_name", prompts.model.name)
    return table


def _averages(part: Columns, settings: HeadScreeningSettings) -> Columns:
    found: Columns = {}
    for name, values in part.items():
        if name in _PLACES:
            continue
        if name in (*_WITH_INTERVAL, "direct_write"):
            mean, lower, upper = mean_interval(
                values.T,
                n_bootstrap=settings.n_bootstrap,
                seed=settings.seed,
                clusters=part["pair_id"].tolist(),
            )
            found |= {name: mean, f"{name}_lower": lower, f"{name}_upper": upper}
        else:
            # A cue at a prompt's very end has no position after it; such pairs are left out.
            known = ~np.isnan(values)
            total = np.where(known, values, 0).sum(0)
            count = known.sum(0)
            found[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return found


def agreement_table(table: pd.DataFrame, settings: HeadScreeningSettings) -> pd.DataFrame:
    """Say how well scores that need no generation foretell what ablation does.

    Args:
        table: What ``score_table`` gives.
        settings: Names ablations, and how many heads are top.

    Returns:
        One line an emotion, ablation, predictor and measured effect.
    """
    rows = []
    both = table[table["half"] == BOTH]
    for emotion, part in both.groupby("emotion", sort=False):
        for ablation, predictor, measured in _comparisons(settings):
            known = part[part[predictor].notna() & part[measured].notna()]
            if len(known) < 2:
                continue
            agreement = rank_agreement(
                known[predictor].to_numpy(float),
                known[measured].to_numpy(float),
                share=settings.recall_share,
            )
            rows.append(
                {
                    "model_name": part["model_name"].iloc[0],
                    "emotion": emotion,
                    "ablation": ablation,
                    "predictor": predictor,
                    "measured": measured,
                    "spearman": agreement.spearman,
                    "recall_at_top": agreement.recall,
                    "recall_by_chance": agreement.chance,
                    "n_top": agreement.n_top,
                    "n_heads": len(known),
                }
            )
    return pd.DataFrame(rows)


def _comparisons(settings: HeadScreeningSettings) -> Iterator[tuple[str, str, str]]:
    for ablation in settings.ablations:
        predictors = [name.format(ablation) for name in HEAD_SCORES if not name.startswith("drop")]
        for predictor in predictors:
            for measured in ("drop_{}", "reaction_drop_{}", "logit_drop_{}"):
                if measured.format(ablation) != predictor:
                    yield ablation, predictor, measured.format(ablation)
