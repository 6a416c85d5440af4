"""Faithfulness against the size of circuits, and the areas CMD and CPR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emotion_circuits.circuits.discovery.cross_fitting import ByHalf, CrossFitted
from emotion_circuits.circuits.faithfulness import area_weights, areas, sizes_to_try
from emotion_circuits.circuits.nodes import Part
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.statistics import rank_p


def measure_curve(
    crossed: CrossFitted[Part],
    orders: ByHalf[Part],
    parts: Sequence[Part],
    random_orders: Sequence[Sequence[Part]],
    *,
    n_sizes: int,
) -> dict[str, Any]:
    """Measure faithfulness against size, and its areas, beside random orders.

    Args:
        crossed: Runs circuits on the half that did not find them.
        orders: All parts by score, by the half whose scores these are.
        parts: All nodes, or all edges.
        random_orders: Orders to compare with.
        n_sizes: Number of sizes.

    Returns:
        ``curve``, ``cmd`` and ``cpr``; shares of the metric's change, with 95 % intervals.
    """
    sizes = sizes_to_try(len(parts), n_sizes)
    weights = area_weights(sizes, len(parts))
    values = crossed.keep(_beginnings(orders, sizes))
    curve = crossed.shares(values)
    random = []
    for order in random_orders:
        drawn = dict.fromkeys(PAIR_HALVES, order)
        random.append(crossed.shares(crossed.keep(_beginnings(drawn, sizes))))
    lines = []
    for place, size in enumerate(sizes):
        at_size = np.array([each[place] for each in random])
        lines.append(
            {
                "size": size,
                "share": size / len(parts),
                **_named(crossed.interval(values[place] - crossed.empty), "faithfulness"),
                "random_mean": float(at_size.mean()),
                "random_upper": float(np.quantile(at_size, 0.975)),
            }
        )
    gained = values - crossed.empty
    # The sign of 1 − f is that of the estimate, so that the distance is a ratio of means too.
    distance = np.sign(1 - curve)[:, None] * ((crossed.full - crossed.empty) - gained)
    drawn_areas = [areas(sizes, each, len(parts)) for each in random]
    found = areas(sizes, curve, len(parts))
    return {
        "curve": lines,
        "cmd": crossed.interval(weights @ distance)
        | {
            "random_mean": float(np.mean([each.cmd for each in drawn_areas])),
            "random_p": float(rank_p(-found.cmd, np.array([-each.cmd for each in drawn_areas]))),
        },
        "cpr": crossed.interval(weights @ gained)
        | {
            "random_mean": float(np.mean([each.cpr for each in drawn_areas])),
            "random_p": float(rank_p(found.cpr, np.array([each.cpr for each in drawn_areas]))),
        },
    }


def _beginnings(orders: ByHalf[Part], sizes: Sequence[int]) -> list[dict[str, Sequence[Part]]]:
    return [{half: order[:size] for half, order in orders.items()} for size in sizes]


def _named(interval: dict[str, float], name: str) -> dict[str, float]:
    return {name: interval["value"]} | {
        f"{name}_{end}": interval[end] for end in ("lower", "upper")
    }


def draw_orders(parts: Sequence[Part], n: int, rng: np.random.Generator) -> list[list[Part]]:
    """Draw random orders of all nodes or edges."""
    return [[parts[index] for index in rng.permutation(len(parts))] for _ in range(n)]
