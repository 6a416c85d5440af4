"""Tables of the controls, and of what was chosen beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emotion_circuits.pipelines.residual_patching.results import (
    FLUENCY,
    metric_keys,
    records_of,
)
from emotion_circuits.pipelines.residual_patching.selection import Choice
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings
from emotion_circuits.pipelines.residual_patching.tables import (
    effect_row,
    effects_of,
    halves_of,
    with_model,
)


def control_table(
    sweep: Mapping[str, Any],
    controls: Mapping[str, Any],
    settings: ResidualPatchingSettings,
) -> pd.DataFrame:
    """Estimate each control's effect on the metric of the emotion it is compared with.

    Returns:
        One row per half, kind (``random``, ``shuffled``, ``reseeded``), emotion, layer, index and
        strength; ``reseeded`` has neither layer nor strength. ``fluency_loss`` in nats a token.
    """
    keys = metric_keys(sweep)
    fluency = keys.index(FLUENCY)
    rows = []
    for half in halves_of(sweep, settings):
        for place, records in _walk_controls(controls, list(settings.target_metrics)):
            own = keys.index(settings.target_metrics[str(place["emotion"])])
            chosen = _only(records, half.prompts)
            effects = effects_of(half, chosen, keys)
            rows.append(
                {"half": half.name, **place}
                | effect_row(effects, own, keys[own], len(half.prompts))
                | {"fluency_loss": float(effects.mean_diff[fluency])}
            )
    columns = ["half", "kind", "emotion", "layer", "index", "alpha"]
    table = with_model(rows, sweep) if rows else pd.DataFrame(columns=["model_name", *columns])
    return table.astype({"layer": "Int64"})


def _walk_controls(
    controls: Mapping[str, Any], emotions: Sequence[str]
) -> Iterator[tuple[dict[str, Any], Sequence[Mapping[str, Any]]]]:
    for kind in ("random", "shuffled"):
        for emotion, layers in controls[f"{kind}_results"].items():
            for layer, indices in layers.items():
                for index, alphas in indices.items():
                    for alpha, records in alphas.items():
                        place = {"kind": kind, "emotion": emotion, "layer": layer}
                        yield place | {"index": index, "alpha": alpha}, records
    for index, records in enumerate(controls["reseeded_results"]):
        for emotion in emotions:
            place = {"kind": "reseeded", "emotion": emotion, "layer": None, "index": index}
            yield place | {"alpha": float("nan")}, records


def _only(records: Sequence[Mapping[str, Any]], prompts: Sequence[str]) -> list[Mapping[str, Any]]:
    by_prompt = {record["prompt"]: record for record in records}
    return [by_prompt[prompt] for prompt in prompts]


def selection_table(
    sweep: Mapping[str, Any],
    choices: Mapping[str, Choice],
    controls: pd.DataFrame,
    settings: ResidualPatchingSettings,
) -> pd.DataFrame:
    """Say what was chosen on one half, what it does on the other, and what controls do there.

    Returns:
        One row per emotion: ``layer``, ``alpha``; ``select_…`` what it was chosen by; ``n`` and
        the effect on the confirming half; ``fluency_loss`` with its interval; for each kind of
        control at the same layer and strength ``…_n``, ``…_d_q95`` (95 % of their |d| are below
        it), ``…_share_below_half`` (of those whose |d| is below half the emotion's), the same two
        of the mean difference, and ``…_p`` ((1 + number with at least its mean difference) /
        (1 + number)).
    """
    keys, confirm = metric_keys(sweep), halves_of(sweep, settings)[1]
    fluency = keys.index(FLUENCY)
    rows = []
    for emotion, choice in choices.items():
        own = keys.index(settings.target_metrics[emotion])
        cell = sweep["sweep_results"][emotion][choice.layer][choice.alpha]
        effects = effects_of(confirm, records_of(cell, confirm.prompts), keys)
        row = {
            "emotion": emotion,
            "layer": choice.layer,
            "alpha": choice.alpha,
            "n_select": len(sweep["halves"]["select"]),
            "select_mean_diff": choice.mean_diff,
            "select_fluency_loss": choice.fluency_loss,
            "within_fluency": choice.within_fluency,
        }
        row |= effect_row(effects, own, keys[own], len(confirm.prompts))
        row |= {
            "fluency_loss": float(effects.mean_diff[fluency]),
            "fluency_loss_lower": float(effects.ci_lower[fluency]),
            "fluency_loss_upper": float(effects.ci_upper[fluency]),
        }
        of_emotion = controls[(controls["half"] == "confirm") & (controls["emotion"] == emotion)]
        for kind in ("random", "shuffled", "reseeded"):
            same = of_emotion[of_emotion["kind"] == kind]
            if kind != "reseeded":
                same = same[(same["layer"] == choice.layer) & (same["alpha"] == choice.alpha)]
            row |= _against(kind, same, float(effects.mean_diff[own]), float(effects.cohen_d[own]))
        rows.append(row)
    return with_model(rows, sweep)


def _against(kind: str, same: pd.DataFrame, mean_diff: float, d: float) -> dict[str, Any]:
    names = ("d_q95", "share_below_half", "mean_diff_q95", "share_mean_diff_below_half", "p")
    if not len(same):
        return {f"{kind}_n": 0, **dict.fromkeys(f"{kind}_{name}" for name in names)}
    sizes, changes = (same[name].abs().to_numpy(dtype=float) for name in ("cohen_d", "mean_diff"))
    as_large = int((same["mean_diff"] >= mean_diff).sum())
    found = (
        float(np.quantile(sizes, 0.95, method="inverted_cdf")),
        float((sizes < abs(d) / 2).mean()),
        float(np.quantile(changes, 0.95, method="inverted_cdf")),
        float((changes < abs(mean_diff) / 2).mean()),
        (1 + as_large) / (1 + len(same)),
    )
    return {f"{kind}_n": len(same)} | {
        f"{kind}_{name}": value for name, value in zip(names, found, strict=True)
    }
