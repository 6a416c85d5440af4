"""Tables of phase 5: scores, dose response, specificity, controls and selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.experiments import (
    Outcomes,
    effect_table,
    join,
    metric_name,
    own_effects,
)
from emotion_circuits.experiments.choice import Choices
from emotion_circuits.experiments.doses import Doses, own_metric
from emotion_circuits.experiments.effects import (
    EFFECT_COLUMNS,
    HALVES,
    LOSS_COLUMNS,
    with_losses,
)
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.statistics import rank_p

_CONTROLS: Final = ("random", "covariance", "shuffled", "reseeded")
_STEERED: Final = ("emotion", "layer", "alpha")
# Beside every effect of steering.
_BESIDE: Final = ("relative_dose", "share_wrong_way")


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


def dose_response_table(
    outcomes: Outcomes, targets: Mapping[str, str], doses: Doses, settings: SteeringSettings
) -> pd.DataFrame:
    """Estimate the effect of each emotion, layer and strength on each score, for each half.

    Returns:
        The lines of ``effect_table``, each with the condition's ``fluency_loss`` and its interval
        (nats per token); ``relative_dose``: ‖αv‖ / ‖h‖, with the median length of the residual
        stream at the positions that are steered; and, in lines of the emotion's target metric,
        ``share_wrong_way``: the share of prompts whose score moves against the intended direction.
    """
    shown = outcomes.where(kind=["baseline", "emotion"])
    table = effect_table(shown, _STEERED, n_bootstrap=settings.n_bootstrap, seed=settings.seed)
    return doses.beside(with_losses(table), targets)


def specificity_table(
    doses: pd.DataFrame, choices: Choices, targets: Mapping[str, str]
) -> pd.DataFrame:
    """Return the effect of each chosen condition on all scores, on the confirming half.

    Args:
        doses: The result of ``dose_response_table``.
        choices: By choice (``headline``, ``last_layers``), the layer and strength by emotion.
        targets: ``metric/label`` by emotion.

    Returns:
        One line per choice, steered emotion and score; ``target_of`` names the emotion whose
        target metric the score is, and is empty for other scores.
    """
    target_of = {metric_name(key): emotion for emotion, key in targets.items()}
    table = _chosen(doses, choices).rename(columns={"emotion": "steered"}).drop(columns="half")
    names = table["metric_name"].map(target_of).fillna("")
    table.insert(list(table.columns).index("metric_name") + 1, "target_of", names)
    return table


def _chosen(doses: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """Select the lines of the chosen conditions on the confirming half."""
    confirm = doses[doses["half"] == "confirm"]
    parts = [
        confirm[
            (confirm["emotion"] == emotion)
            & (confirm["layer"] == choice.layer)
            & (confirm["alpha"] == choice.alpha)
        ].assign(choice=name)
        for name, by_emotion in choices.items()
        for emotion, choice in by_emotion.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["choice", *(name for name in table.columns if name != "choice")]]


def control_table(
    baseline: Outcomes,
    controls: Outcomes,
    targets: Mapping[str, str],
    doses: Doses,
    settings: SteeringSettings,
) -> pd.DataFrame:
    """Estimate each control's effect on the metric of the emotion it is compared with.

    Args:
        baseline: The unsteered texts, with ``half``.
        controls: The result of ``read_random_sweep``.
        targets: ``metric/label`` by emotion.
        doses: Lengths of the emotion vectors, which the controls have too.
        settings: Number and seed of resamples.

    Returns:
        One line per half, kind (``random``, ``covariance``, ``shuffled``, ``reseeded``), emotion,
        layer, index and strength; ``reseeded`` has no layer and strength. ``fluency_loss`` is in
        nats per token; ``relative_dose`` and ``share_wrong_way`` as in ``dose_response_table``.
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
    effects = own_effects(table, own_metric(table, targets))
    effects = effects.rename(columns={"draw": "index"}).astype({"layer": "Int64"})
    effects = doses.beside(effects, targets)
    order = ["half", "kind", "emotion", "layer", "index", "alpha", *EFFECT_COLUMNS]
    return effects[[*order, "fluency_loss", *_BESIDE]].sort_values(
        "half", key=lambda half: half.map(HALVES.index), kind="stable", ignore_index=True
    )


def selection_table(
    doses: pd.DataFrame,
    choices: Choices,
    controls: pd.DataFrame,
    targets: Mapping[str, str],
    n_select: int,
) -> pd.DataFrame:
    """Return each emotion's chosen condition, and its effect and controls on the confirming half.

    Args:
        doses: The result of ``dose_response_table``.
        choices: By choice (``headline``, ``last_layers``), the layer and strength by emotion.
        controls: The result of ``control_table``.
        targets: ``metric/label`` by emotion.
        n_select: Number of prompts of the choosing half.

    Returns:
        One line per choice and emotion: ``layer``, ``alpha``; ``select_…``: effect on the choosing
        half; ``n`` and the effect on the confirming half; ``fluency_loss`` with its interval;
        ``relative_dose``; ``share_wrong_way``; for each kind of control at the same layer and
        strength, ``…_n``, ``…_d_q95`` (95 % quantile of |d|), ``…_share_below_half`` (share with
        |d| below half the emotion's), the same two for the mean difference, ``…_p`` (rank p of the
        emotion's mean difference) and ``…_fluency_loss`` (median, nats per token).
    """
    chosen = _chosen(doses, choices)
    confirmed = chosen[chosen["metric_name"] == own_metric(chosen, targets)]
    confirmed_by = {
        (line["choice"], line["emotion"]): line for line in confirmed.to_dict("records")
    }
    confirming = controls[controls["half"] == "confirm"]
    lines = []
    for name, by_emotion in choices.items():
        for emotion, choice in by_emotion.items():
            effect = confirmed_by[name, emotion]
            line = {
                "choice": name,
                "emotion": emotion,
                "layer": choice.layer,
                "alpha": choice.alpha,
                "n_select": n_select,
                "select_mean_diff": choice.mean_diff,
                "select_fluency_loss": choice.fluency_loss,
                "within_fluency": choice.within_fluency,
            }
            line |= {key: effect[key] for key in (*EFFECT_COLUMNS, *LOSS_COLUMNS, *_BESIDE)}
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
    names = (
        *("d_q95", "share_below_half", "mean_diff_q95", "share_mean_diff_below_half", "p"),
        "fluency_loss",
    )
    if not len(same):
        return {f"{kind}_n": 0, **dict.fromkeys(f"{kind}_{name}" for name in names)}
    sizes, changes = (same[name].abs().to_numpy(dtype=float) for name in ("cohen_d", "mean_diff"))
    values = (
        float(np.quantile(sizes, 0.95, method="inverted_cdf")),
        float((sizes < abs(d) / 2).mean()),
        float(np.quantile(changes, 0.95, method="inverted_cdf")),
        float((changes < abs(mean_diff) / 2).mean()),
        float(rank_p(mean_diff, same["mean_diff"].to_numpy(dtype=float))),
        float(same["fluency_loss"].median()),
    )
    return {f"{kind}_n": len(same)} | {
        f"{kind}_{name}": value for name, value in zip(names, values, strict=True)
    }
