"""Tables of head screening, from effects of ablation and other scores of heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.circuits import rank_agreement
from emotion_circuits.experiments.head_sets import HEAD_SCORES, POOLED
from emotion_circuits.experiments.outcomes import FLUENCY
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.pipelines.head_screening.ablations import AblationEffects
from emotion_circuits.pipelines.head_screening.settings import HeadScreeningSettings
from emotion_circuits.prompts import CLUSTER, PAIR_HALVES
from emotion_circuits.statistics.ratios import mean_interval

BOTH: Final = "both"
_WITH_INTERVAL: Final = tuple(
    f"{name}_{ablation}"
    for name in (
        *("drop", "reaction_drop", "logit_drop", "logit_contrast_drop"),
        *("fluency_loss", "neutral_fluency_loss"),
    )
    for ablation in ("zero", "mean")
)
# Columns that name a pair's half, and the cluster that it is resampled with.
_GROUPS: Final = ("half", CLUSTER)

Columns = dict[str, np.ndarray]  # [pair] for _GROUPS, else [pair, head]


def pair_scores(
    prompts: PairedPrompts,
    effects: AblationEffects,
    readings: Mapping[str, Any],
    emotion: str,
    settings: HeadScreeningSettings,
) -> Columns:
    """Return every score of every head on every pair of an emotion.

    Returns:
        ``drop_<ablation>``: decrease of the emotion's metric on the emotional prompt under
        ablation; ``neutral_shift_<ablation>``: increase of the same metric on the neutral prompt;
        ``reaction_drop_<ablation>``: decrease of ``AblationEffects.preference``;
        ``logit_drop_<ablation>``: decrease of the log odds that the next token marks the emotion;
        ``logit_contrast_drop_<ablation>``: that decrease minus the decrease on the neutral prompt;
        ``fluency_loss_<ablation>`` and ``neutral_fluency_loss_<ablation>``: nats per token that the
        continuations of the emotional and of the neutral prompt lose under the unpatched model;
        ``fluency_loss_reference``: the same for the unpatched reaction to the neutral prompt after
        the emotional prompt, which is the cost of the lost emotion alone, whatever the head;
        ``direct_write``: direct write on the emotional prompt minus that on the neutral prompt;
        ``cue_attention_last`` and ``cue_attention_after``, with ``_neutral`` for the neutral
        prompt; attributions; and each pair's ``half`` and ``cluster``.
    """
    target, column = prompts.emotions.target_metrics[emotion], prompts.emotions.place(emotion)
    pairs = np.array(prompts.pairs(emotion), dtype=int).reshape(-1, 2)
    emotional, neutral = pairs[:, 0], pairs[:, 1]
    columns: Columns = {name: prompts.table[name].to_numpy()[emotional] for name in _GROUPS}
    scores = effects.outcomes.values([target])[:, 0]
    odds, preference = effects.odds[:, column], effects.preference
    fluency = effects.outcomes.values([FLUENCY])[:, 0]
    measures = (scores, odds, preference, fluency)
    before = [effects.baseline(values) for values in measures]
    for ablation in settings.ablations:
        after = [effects.ablated(values, ablation) for values in measures]
        columns[f"drop_{ablation}"] = before[0][emotional, None] - after[0][emotional]
        columns[f"neutral_shift_{ablation}"] = after[0][neutral] - before[0][neutral, None]
        lost_odds = before[1][:, None] - after[1]
        columns[f"logit_drop_{ablation}"] = lost_odds[emotional]
        columns[f"logit_contrast_drop_{ablation}"] = lost_odds[emotional] - lost_odds[neutral]
        columns[f"reaction_drop_{ablation}"] = before[2][emotional, None] - after[2][emotional]
        columns[f"fluency_loss_{ablation}"] = after[3][emotional] - before[3][emotional, None]
        columns[f"neutral_fluency_loss_{ablation}"] = after[3][neutral] - before[3][neutral, None]
    # The preference before ablation is the cost of the neutral reaction beyond the model's own.
    columns["fluency_loss_reference"] = np.repeat(
        before[2][emotional, None], len(effects.heads), axis=1
    )
    writes = readings["writes"][emotion]
    columns["direct_write"] = writes[emotional] - writes[neutral]
    for name in ("cue_attention_last", "cue_attention_after"):
        columns[name] = readings[name][emotional]
        columns[f"{name}_neutral"] = readings[name][neutral]
    for name, values in readings["attributions"].items():
        columns[name] = values[emotional]
    return columns


def score_table(
    prompts: PairedPrompts,
    effects: AblationEffects,
    readings: Mapping[str, Any],
    settings: HeadScreeningSettings,
) -> pd.DataFrame:
    """Average scores over pairs, for each half and both halves, each emotion and all emotions.

    Returns:
        One line per head, emotion and half, with the scores of ``pair_scores``. Some scores have
        95 % bootstrap intervals, as ``_lower`` and ``_upper``; pairs that share a neutral prompt
        are resampled together.
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
    averages: Columns = {}
    for name, values in part.items():
        if name in _GROUPS:
            continue
        if name in (*_WITH_INTERVAL, "direct_write", "fluency_loss_reference"):
            mean, lower, upper = mean_interval(
                values.T,
                n_bootstrap=settings.n_bootstrap,
                seed=settings.seed,
                clusters=part[CLUSTER].tolist(),
            )
            averages |= {name: mean, f"{name}_lower": lower, f"{name}_upper": upper}
        else:
            # Pairs whose cue ends the prompt have no position after the cue, and are left out.
            known = ~np.isnan(values)
            total = np.where(known, values, 0).sum(0)
            count = known.sum(0)
            averages[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return averages


def agreement_table(table: pd.DataFrame, settings: HeadScreeningSettings) -> pd.DataFrame:
    """Compute how well scores without generation predict the effects of ablation.

    Args:
        table: The result of ``score_table``.
        settings: The ablations, and the share of heads that count as top.

    Returns:
        One line per emotion, ablation, predictor and measured effect.
    """
    lines = []
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
            lines.append(
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
    return pd.DataFrame(lines)


def _comparisons(settings: HeadScreeningSettings) -> Iterator[tuple[str, str, str]]:
    for ablation in settings.ablations:
        predictors = [name.format(ablation) for name in HEAD_SCORES if not name.startswith("drop")]
        for predictor in predictors:
            for measured in ("drop_{}", "reaction_drop_{}", "logit_drop_{}"):
                if measured.format(ablation) != predictor:
                    yield ablation, predictor, measured.format(ablation)
