"""Tables of phase 5: scores, dose response, specificity, controls and selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.experiments import (
    Choice,
    Outcomes,
    effect_table,
    join,
    metric_name,
    own_effects,
)
from emotion_circuits.experiments.effects import EFFECT_COLUMNS, HALVES, LOSS_COLUMNS
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.statistics import rank_p

_CONTROLS: Final = ("random", "shuffled", "reseeded")
_STEERED: Final = ("emotion", "layer", "alpha")


def score_table(outcomes: Outcomes, model: str) -> pd.DataFrame:
    """Return all scores of a sweep, with one line per prompt, condition and score.

    Returns:
        ``model_name``, ``prompt_index`` (in the order of the prompts), ``half``, ``emotion``,
        ``layer``, ``alpha`` (for the baseline, emotion ``baseline``, no layer and α 0),
        ``metric_name`` (``metric.label`` or ``fluency.nll``), ``baseline``, ``value``.
    """
    keys = outcomes.keys
    baseline = outcomes.baseline
    index_of = {prompt: index for index, prompt in enumerate(baseline.table["prompt"])}
    shown = outcomes.where(kind=["baseline", "emotion"])
    prompts = shown.table["prompt"].map(index_of).to_numpy()
    lines, metrics = (axis.ravel() for axis in np.indices((len(shown), len(keys))))
    is_baseline = (shown.table["kind"] == "baseline").to_numpy()
    emotion = np.where(is_baseline, "baseline", shown.table["emotion"].to_numpy(dtype=object))
    alpha = np.where(is_baseline, 0.0, shown.table["alpha"].to_numpy(dtype=float))
    return pd.DataFrame(
        {
            "model_name": model,
            "prompt_index": prompts[lines],
            "half": shown.table["half"].to_numpy(dtype=object)[lines],
            "emotion": emotion[lines],
            "layer": shown.table["layer"].array[lines],
            "alpha": alpha[lines],
            "metric_name": np.array(list(map(metric_name, keys)), dtype=object)[metrics],
            "baseline": baseline.values(keys)[prompts].ravel(),
            "value": shown.values(keys).ravel(),
        }
    )


def dose_response_table(outcomes: Outcomes, settings: SteeringSettings) -> pd.DataFrame:
    """Estimate the effect of each emotion, layer and strength on each score, for each half."""
    shown = outcomes.where(kind=["baseline", "emotion"])
    return effect_table(shown, _STEERED, n_bootstrap=settings.n_bootstrap, seed=settings.seed)


def specificity_table(
    doses: pd.DataFrame, choices: Mapping[str, Choice], targets: Mapping[str, str]
) -> pd.DataFrame:
    """Return the effect of each chosen condition on all scores, on the confirming half.

    Args:
        doses: The result of ``dose_response_table``.
        choices: The chosen layer and strength by emotion.
        targets: ``metric/label`` by emotion.

    Returns:
        One line per steered emotion and score; ``target_of`` names the emotion whose target metric
        the score is, and is empty for other scores.
    """
    target_of = {metric_name(key): emotion for emotion, key in targets.items()}
    table = _chosen(doses, choices).rename(columns={"emotion": "steered"}).drop(columns="half")
    names = table["metric_name"].map(target_of).fillna("")
    table.insert(list(table.columns).index("metric_name") + 1, "target_of", names)
    return table


def _chosen(doses: pd.DataFrame, choices: Mapping[str, Choice]) -> pd.DataFrame:
    """Select the lines of the chosen conditions on the confirming half."""
    confirm = doses[doses["half"] == "confirm"]
    parts = [
        confirm[
            (confirm["emotion"] == emotion)
            & (confirm["layer"] == choice.layer)
            & (confirm["alpha"] == choice.alpha)
        ]
        for emotion, choice in choices.items()
    ]
    return pd.concat(parts, ignore_index=True)


def control_table(
    baseline: Outcomes,
    controls: Outcomes,
    targets: Mapping[str, str],
    settings: SteeringSettings,
) -> pd.DataFrame:
    """Estimate each control's effect on the metric of the emotion it is compared with.

    Args:
        baseline: The unsteered texts, with ``half``.
        controls: The result of ``read_random_sweep``.
        targets: ``metric/label`` by emotion.
        settings: Number and seed of resamples.

    Returns:
        One line per half, kind (``random``, ``shuffled``, ``reseeded``), emotion, layer, index
        and strength; ``reseeded`` has no layer and strength. ``fluency_loss`` is in nats per
        token.
    """
    by = ["kind", *_STEERED, "draw"]
    half_of = dict(zip(baseline.table["prompt"], baseline.table["half"], strict=True))
    drawn = controls.where(kind=list(_CONTROLS)).table
    parts = [baseline, Outcomes(drawn.assign(half=drawn["prompt"].map(half_of)))]
    table = effect_table(join(parts), by, n_bootstrap=settings.n_bootstrap, seed=settings.seed)
    # Further samples of the baseline are controls of every emotion.
    again = table["kind"] == "reseeded"
    every = pd.DataFrame({"emotion": list(targets)})
    table = pd.concat(
        [table[~again], table[again].drop(columns="emotion").merge(every, how="cross")]
    )
    own = table["emotion"].map({emotion: metric_name(key) for emotion, key in targets.items()})
    effects = own_effects(table, own).rename(columns={"draw": "index"}).astype({"layer": "Int64"})
    order = ["half", "kind", "emotion", "layer", "index", "alpha", *EFFECT_COLUMNS]
    return effects[[*order, "fluency_loss"]].sort_values(
        "half", key=lambda half: half.map(HALVES.index), kind="stable", ignore_index=True
    )


def selection_table(
    doses: pd.DataFrame,
    choices: Mapping[str, Choice],
    controls: pd.DataFrame,
    targets: Mapping[str, str],
    n_select: int,
) -> pd.DataFrame:
    """Return each emotion's chosen condition, and its effect and controls on the confirming half.

    Args:
        doses: The result of ``dose_response_table``.
        choices: The chosen layer and strength by emotion.
        controls: The result of ``control_table``.
        targets: ``metric/label`` by emotion.
        n_select: Number of prompts of the choosing half.

    Returns:
        One line per emotion: ``layer``, ``alpha``; ``select_…``: effect on the choosing half;
        ``n`` and the effect on the confirming half; ``fluency_loss`` with its interval; for each
        kind of control at the same layer and strength, ``…_n``, ``…_d_q95`` (95 % quantile of
        |d|), ``…_share_below_half`` (share with |d| below half the emotion's), the same two for
        the mean difference, and ``…_p`` (rank p of the emotion's mean difference).
    """
    chosen = _chosen(doses, choices)
    own = chosen["emotion"].map({emotion: metric_name(key) for emotion, key in targets.items()})
    confirmed = own_effects(chosen, own).set_index("emotion")
    confirming = controls[controls["half"] == "confirm"]
    lines = []
    for emotion, choice in choices.items():
        effect: dict[Any, Any] = confirmed.loc[emotion].to_dict()
        line = {
            "emotion": emotion,
            "layer": choice.layer,
            "alpha": choice.alpha,
            "n_select": n_select,
            "select_mean_diff": choice.mean_diff,
            "select_fluency_loss": choice.fluency_loss,
            "within_fluency": choice.within_fluency,
        }
        line |= {name: effect[name] for name in (*EFFECT_COLUMNS, *LOSS_COLUMNS)}
        of_emotion = confirming[confirming["emotion"] == emotion]
        for kind in _CONTROLS:
            same = of_emotion[of_emotion["kind"] == kind]
            if kind != "reseeded":
                same = same[(same["layer"] == choice.layer) & (same["alpha"] == choice.alpha)]
            line |= _against(kind, same, effect["mean_diff"], effect["cohen_d"])
        lines.append(line)
    return pd.DataFrame(lines)


def _against(kind: str, same: pd.DataFrame, mean_diff: float, d: float) -> dict[str, Any]:
    """Compare an emotion's effect with those of the controls of one kind."""
    names = ("d_q95", "share_below_half", "mean_diff_q95", "share_mean_diff_below_half", "p")
    if not len(same):
        return {f"{kind}_n": 0, **dict.fromkeys(f"{kind}_{name}" for name in names)}
    sizes, changes = (same[name].abs().to_numpy(dtype=float) for name in ("cohen_d", "mean_diff"))
    values = (
        float(np.quantile(sizes, 0.95, method="inverted_cdf")),
        float((sizes < abs(d) / 2).mean()),
        float(np.quantile(changes, 0.95, method="inverted_cdf")),
        float((changes < abs(mean_diff) / 2).mean()),
        float(rank_p(mean_diff, same["mean_diff"].to_numpy(dtype=float))),
    )
    return {f"{kind}_n": len(same)} | {
        f"{kind}_{name}": value for name, value in zip(names, values, strict=True)
    }
