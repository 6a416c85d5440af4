"""Do a circuit's nodes do more together than the sum of what each does alone?"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.experiments.circuit_lines import (
    ABLATION,
    CIRCUIT,
    PATCHING,
    PREFERENCE,
    RANDOM,
)
from emotion_circuits.experiments.shares import (
    Draws,
    Resampling,
    Values,
    mean_with_interval,
    share_with_interval,
    smallest_p,
)
from emotion_circuits.experiments.three_readings import READINGS
from emotion_circuits.prompts import CLUSTER
from emotion_circuits.statistics import rank_p

_WAY: Final = ["emotion", "what", "mode"]
_PAIR: Final = ["prompt_index", "other_index"]
# Smaller interactions are rounding of scores and of log-probabilities in float32.
_ROUNDING: Final = 1e-4
_SHARES: Final = ("share", "random_share", "excess")


def interaction_table(lines: pd.DataFrame, *, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Compare what a circuit does jointly with the sum of what its nodes do singly.

    Args:
        lines: Lines of ablations and patches.
        n_bootstrap: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        One line per emotion, way and reading, with 95 % intervals over clusters. ``joint``: how far
        the whole circuit moves the reading towards that on the pair's other prompt; ``effect``: how
        far apart the two are; ``share``: joint over effect, beside ``random_share`` of random
        circuits and their difference ``excess``; ``p_rank`` of joint among random circuits.
        ``sum_of_singles``; ``interaction``: joint minus this sum, pair by pair; ``additivity``:
        ``super`` or ``sub`` where the interval of the interaction leaves out 0, else
        ``unresolved``; ``largest_single`` and its node. ``fluency_loss`` of the changed texts (nats
        per token), beside ``fluency_loss_reference``: the cost of the unpatched reaction to the
        other prompt. For mean ablation, ``neutral_fluency_loss``: the cost on neutral prompts,
        where no emotion is lost.
    """
    joint = lines[lines["what"].isin([ABLATION, PATCHING])]
    found = []
    for way, part in joint.groupby(_WAY, sort=False):
        emotion, what, _ = way
        shows = part if what == PATCHING else part[part["label"] == emotion]
        beside = part[part["label"] != emotion] if what == ABLATION else part.iloc[:0]
        found += [
            dict(zip(_WAY, way, strict=True))
            | {"reading": reading}
            | _of_reading(shows, reading, n_bootstrap, seed)
            | _costs(shows, beside, n_bootstrap, seed)
            for reading in (*READINGS, PREFERENCE)
            if shows[f"{reading}_value"].notna().any()
        ]
    if not found:
        return pd.DataFrame(columns=["model_name", *_WAY, "reading", "share"])
    table = pd.DataFrame(found)
    table.insert(0, "model_name", lines["model_name"].iloc[0])
    return table


def _of_reading(part: pd.DataFrame, reading: str, n_bootstrap: int, seed: int) -> dict[str, Any]:
    sign = -1 if part["what"].iloc[0] == ABLATION else 1
    moved = sign * (part[f"{reading}_value"] - part[f"{reading}_baseline"])
    by_pair = part.assign(
        moved=moved, effect=sign * (part[f"{reading}_other"] - part[f"{reading}_baseline"])
    ).set_index(_PAIR)
    sets = {str(name): each for name, each in by_pair.groupby("circuit", sort=False)}
    own = sets.pop(CIRCUIT)
    random = {name: sets.pop(name) for name in list(sets) if name.split()[0] == RANDOM}
    resampling = Resampling(n_bootstrap, seed, own[CLUSTER].tolist())
    values, effect = own["moved"].to_numpy(), own["effect"].to_numpy()
    draws: Draws = np.array([each.loc[own.index, "moved"] for each in random.values()])
    draws = draws.reshape(len(random), len(own))
    singles = {name: each["moved"].reindex(own.index) for name, each in sets.items()}
    return {
        "n_pairs": len(own),
        "n_clusters": own[CLUSTER].nunique(),
        "n_nodes": float(_sizes(own).mean()),
        "effect": float(effect.mean()),
        **mean_with_interval(values, "joint", resampling),
        **share_with_interval(values, draws, effect, _SHARES, resampling),
        "p_rank": float(rank_p(values.mean(), draws.mean(1))) if len(draws) else float("nan"),
        "p_smallest": smallest_p(len(draws)),
        **_interaction(values, singles, own, resampling),
    }


def _interaction(
    values: Values, singles: dict[str, pd.Series], own: pd.DataFrame, resampling: Resampling
) -> dict[str, Any]:
    """Compare the joint change of each pair with the sum of single ones; NaN without these."""
    total, largest, mean = np.full(len(own), np.nan), "", float("nan")
    if singles:
        total = _sum(singles, own)
        means = {name: float(each.mean()) for name, each in singles.items()}
        largest = max(means, key=lambda name: means[name])
        mean = means[largest]
    interaction = mean_with_interval(values - total, "interaction", resampling)
    return {
        **mean_with_interval(total, "sum_of_singles", resampling),
        **interaction,
        "additivity": _additivity(interaction) if singles else "",
        "largest_node": largest,
        "largest_single": mean,
    }


def _sum(singles: dict[str, pd.Series], own: pd.DataFrame) -> np.ndarray:
    """Sum what each pair's members do alone; each pair has its own circuit's members."""
    table = pd.DataFrame(singles)
    assert (table.notna().sum(axis=1) == _sizes(own)).all(), "every member was changed alone"
    total: np.ndarray = table.sum(axis=1).to_numpy(dtype=float)
    return total


def _sizes(lines: pd.DataFrame) -> pd.Series:
    """Return the number of nodes that are changed on each line."""
    return lines["nodes"].map(lambda nodes: len(nodes.split()))


def _additivity(interaction: dict[str, float]) -> str:
    if interaction["interaction_lower"] > _ROUNDING:
        return "super"
    return "sub" if interaction["interaction_upper"] < -_ROUNDING else "unresolved"


def _costs(
    shows: pd.DataFrame, beside: pd.DataFrame, n_bootstrap: int, seed: int
) -> dict[str, float]:
    """Return what a circuit's change costs, and what random circuits' changes cost."""
    costs: dict[str, float] = {}
    for prefix, part in (("", shows), ("neutral_", beside)):
        loss = part["fluency_value"] - part["fluency_baseline"]
        own = part["circuit"] == CIRCUIT
        random = part["circuit"].str.startswith(RANDOM)
        resampling = Resampling(n_bootstrap, seed, part.loc[own, CLUSTER].tolist())
        costs |= mean_with_interval(loss[own].to_numpy(), f"{prefix}fluency_loss", resampling)
        costs[f"random_{prefix}fluency_loss"] = float(loss[random].mean())
    own_lines = shows[shows["circuit"] == CIRCUIT]
    # What the reaction to the pair's other prompt costs after this one, as reactions.unpatched.
    reference = own_lines[f"{PREFERENCE}_baseline"].mean()
    is_ablation = shows["what"].iloc[0] == ABLATION
    costs["fluency_loss_reference"] = float(reference if is_ablation else -reference)
    return costs
