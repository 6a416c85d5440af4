"""Modulation of circuits beside steering, prompting and controls, at equal cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from emotion_circuits.experiments import FLUENCY, Choice, Outcomes, choose_conditions
from emotion_circuits.experiments.circuit_lines import (
    CIRCUIT,
    COVARIANCE,
    ISOTROPIC,
    MODULATION,
    OWN,
    PROMPTING,
    RANDOM,
    STEERING,
)
from emotion_circuits.experiments.outcomes import BASELINE_KIND
from emotion_circuits.experiments.shares import Resampling, mean_with_interval, smallest_p
from emotion_circuits.experiments.three_readings import READINGS
from emotion_circuits.prompts import CLUSTER
from emotion_circuits.statistics import rank_p

RANDOM_CIRCUITS: Final = "random_circuits"
_CONTROLS: Final = (RANDOM_CIRCUITS, ISOTROPIC, COVARIANCE)
# Stands for the target metric where conditions are chosen.
_TARGET: Final = "target/score"
_EMPTY: Final = ("model_name", "emotion", "family", "reading", "change", "fluency_loss")
_DOSE: Final = ["emotion", "family", "control", "draw", "layer", "dose"]


def with_families(lines: pd.DataFrame) -> pd.DataFrame:
    """Name each line's way of acting on neutral prompts.

    Returns:
        Lines of modulation, steering and prompting, with ``family`` (``circuit_shift``,
        ``circuit_scale``, ``steering`` or ``prompting``), ``control`` (empty, ``random_circuits``,
        ``isotropic`` or ``covariance``) and ``draw``.
    """
    table = lines[lines["what"].isin([MODULATION, STEERING, PROMPTING])].copy()
    is_modulation = table["what"] == MODULATION
    table["family"] = table["what"].where(~is_modulation, "circuit_" + table["mode"].astype(str))
    drawn = table["direction"].where(table["circuit"] == CIRCUIT, table["circuit"])
    kind = drawn.where(is_modulation, OWN).astype(str).str.split()
    names = kind.str[0].replace({OWN: "", RANDOM: RANDOM_CIRCUITS})
    return table.assign(control=names, draw=kind.str[1].fillna(0).astype(int))


def dose_table(families: pd.DataFrame, *, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Estimate what each strength does and costs, on the half of the prompts that reports.

    Args:
        families: The result of ``with_families``.
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        One line per emotion, family, control, draw, layer, strength and reading: ``n``, mean
        ``baseline``, mean ``change`` and ``fluency_loss`` (nats per token) with 95 % intervals over
        clusters.
    """
    found = []
    confirm = families[families["half"] == "confirm"]
    for where, part in confirm.groupby(_DOSE, sort=False, dropna=False):
        resampling = Resampling(n_bootstrap, seed, part[CLUSTER].tolist())
        found += [
            {**dict(zip(_DOSE, where, strict=True)), "reading": reading, "n": len(part)}
            | _change(part, reading, resampling)
            for reading in _readings(part)
        ]
    return _named(found, families)


class _Tested(NamedTuple):
    """A choice on one half of the prompts, and the lines of the other half under it."""

    choice: Choice
    lines: pd.DataFrame

    def change(self, reading: str) -> pd.Series:
        """Return each prompt's change of a reading."""
        values = self.lines.set_index("prompt")
        change: pd.Series = values[f"{reading}_value"] - values[f"{reading}_baseline"]
        return change


def equal_cost_table(
    families: pd.DataFrame,
    costs: list[float],
    *,
    n_bootstrap: int,
    seed: int,
) -> pd.DataFrame:
    """Compare families, each at the strength that moves the score most within a cost.

    The strength, and for steering the layer, are chosen on one half of the prompts and reported on
    the other, as phase 5 does for steering at the cost of prompting. Strength 0, the unchanged
    model, may be chosen by all. Each random circuit and direction makes a choice of its own, so
    that the circuit's rank among them is a p-value.

    Args:
        families: The result of ``with_families``.
        costs: Costs in nats per token. Where there is prompting, what it costs on the choosing
            half is one more.
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        One line per emotion, cost, family and reading: chosen ``layer`` and ``dose``; mean
        ``baseline``, ``change`` and ``fluency_loss`` with 95 % intervals over clusters;
        ``minus_steering``: the change less that of steering at the same cost, prompt by prompt; for
        each kind of control ``…_n``, mean ``…_change``, ``…_largest``, rank ``…_p`` and
        ``…_fluency_loss``.
    """
    found: list[dict[str, Any]] = []
    for emotion, of_emotion in families.groupby("emotion", sort=False):
        prompting = of_emotion[of_emotion["family"] == PROMPTING]
        limits = {f"{cost:g}": cost for cost in costs}
        if len(prompting):
            limits[PROMPTING] = _mean_cost(prompting[prompting["half"] == "select"])
        for name, limit in limits.items():
            tested = _tested(of_emotion, limit, prompting=name == PROMPTING)
            where = {"emotion": str(emotion), "cost": name, "cost_limit": limit}
            found += [
                where | line for line in _compared(tested, n_bootstrap=n_bootstrap, seed=seed)
            ]
    return _named(found, families)


def _mean_cost(part: pd.DataFrame) -> float:
    return float((part["fluency_value"] - part["fluency_baseline"]).mean())


def _tested(
    of_emotion: pd.DataFrame, limit: float, *, prompting: bool
) -> dict[tuple[str, str, int], _Tested]:
    """Choose for each family, control and draw within a cost."""
    tested: dict[tuple[str, str, int], _Tested] = {}
    for names, part in of_emotion.groupby(["family", "control", "draw"], sort=False):
        family, control, draw = names
        key = (str(family), str(control), int(str(draw)))
        if key[0] != PROMPTING:
            tested[key] = _choose(part, limit)
        elif prompting:
            confirm = part[part["half"] == "confirm"]
            select = part[part["half"] == "select"]
            change = float((select["score_value"] - select["score_baseline"]).mean())
            tested[key] = _Tested(Choice(-1, np.nan, change, limit, True), confirm)
    return tested


def _choose(part: pd.DataFrame, limit: float) -> _Tested:
    layers = part["layer"].astype(float).fillna(-1).astype(int)
    part = part.assign(layer=layers, dose=part["dose"].astype(float))
    # The unchanged model is a condition too: one line per prompt, with strength 0.
    first = part.drop_duplicates("prompt")
    unchanged = first.assign(
        dose=0.0,
        **{f"{reading}_value": first[f"{reading}_baseline"] for reading in (*READINGS, "fluency")},
    )
    candidates = pd.concat([part, unchanged], ignore_index=True)
    emotion = str(part["emotion"].iloc[0])
    (choice,) = choose_conditions(
        _outcomes(candidates, first), {emotion: _TARGET}, max_fluency_loss=limit
    ).values()
    at = (candidates["layer"] == choice.layer) & (candidates["dose"] == choice.alpha)
    return _Tested(choice, candidates[at & (candidates["half"] == "confirm")])


def _outcomes(candidates: pd.DataFrame, first: pd.DataFrame) -> Outcomes:
    """Write candidates, and the baseline, as outcomes of steering."""
    parts = []
    for kind, end, lines in ((BASELINE_KIND, "baseline", first), ("emotion", "value", candidates)):
        parts.append(
            pd.DataFrame(
                {
                    "prompt": lines["prompt"].to_numpy(),
                    "half": lines["half"].to_numpy(),
                    "kind": kind,
                    "emotion": lines["emotion"].to_numpy(),
                    "layer": lines["layer"].to_numpy(),
                    "alpha": lines["dose"].to_numpy(),
                    FLUENCY.split("/")[0]: lines[f"fluency_{end}"].to_numpy(),
                    _TARGET: lines[f"score_{end}"].to_numpy(),
                }
            )
        )
    return Outcomes(pd.concat(parts, ignore_index=True))


def _compared(
    tested: Mapping[tuple[str, str, int], _Tested], *, n_bootstrap: int, seed: int
) -> Iterator[dict[str, Any]]:
    steering = tested.get((STEERING, "", 0))
    for (family, control, _), own in tested.items():
        if control:
            continue
        resampling = Resampling(n_bootstrap, seed, own.lines[CLUSTER].tolist())
        layer = own.choice.layer
        chosen = {
            "family": family,
            "layer": None if layer < 0 else layer,
            "dose": own.choice.alpha,
            "select_change": own.choice.mean_diff,
            "select_fluency_loss": own.choice.fluency_loss,
            "n": len(own.lines),
            "n_clusters": own.lines[CLUSTER].nunique(),
        }
        for reading in _readings(own.lines):
            line = {**chosen, "reading": reading, **_change(own.lines, reading, resampling)}
            if steering is not None and family != STEERING:
                change = own.change(reading)
                less = change - steering.change(reading).loc[change.index]
                line |= mean_with_interval(less.to_numpy(), "minus_steering", resampling)
            for kind in _CONTROLS:
                drawn = [each for key, each in tested.items() if key[:2] == (family, kind)]
                line |= _against(kind, drawn, own, reading)
            yield line


def _against(kind: str, drawn: list[_Tested], own: _Tested, reading: str) -> dict[str, Any]:
    changes = np.array([float(each.change(reading).mean()) for each in drawn])
    nothing = float("nan")
    if not len(changes):
        return {f"{kind}_n": 0} | {
            f"{kind}_{name}": nothing
            for name in ("change", "largest", "p", "p_smallest", "fluency_loss")
        }
    return {
        f"{kind}_n": len(changes),
        f"{kind}_change": float(changes.mean()),
        f"{kind}_largest": float(changes.max()),
        f"{kind}_p": float(rank_p(float(own.change(reading).mean()), changes)),
        f"{kind}_p_smallest": smallest_p(len(changes)),
        f"{kind}_fluency_loss": float(np.mean([_mean_cost(each.lines) for each in drawn])),
    }


def _readings(part: pd.DataFrame) -> list[str]:
    return [reading for reading in READINGS if part[f"{reading}_value"].notna().any()]


def _change(part: pd.DataFrame, reading: str, resampling: Resampling) -> dict[str, float]:
    change = (part[f"{reading}_value"] - part[f"{reading}_baseline"]).to_numpy()
    loss = (part["fluency_value"] - part["fluency_baseline"]).to_numpy()
    return {
        "baseline": float(part[f"{reading}_baseline"].mean()),
        **mean_with_interval(change, "change", resampling),
        **mean_with_interval(loss, "fluency_loss", resampling),
    }


def _named(found: list[dict[str, Any]], lines: pd.DataFrame) -> pd.DataFrame:
    """Make a table with the model's name; without lines it has the columns that figures read."""
    if not found:
        return pd.DataFrame(columns=list(_EMPTY))
    table = pd.DataFrame(found)
    table.insert(0, "model_name", lines["model_name"].iloc[0])
    return table
