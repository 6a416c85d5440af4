"""What circuits of two halves keep and lose, each on the half that did not find it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from emotion_circuits.circuits.discovery.controls import (
    compare_with_random,
    compare_with_shuffled,
)
from emotion_circuits.circuits.discovery.cross_fitting import ByHalf, CrossFitted
from emotion_circuits.circuits.discovery.curves import draw_orders, measure_curve
from emotion_circuits.circuits.discovery.settings import CircuitSettings, EdgeCircuitSettings
from emotion_circuits.circuits.nodes import Part
from emotion_circuits.prompts import PAIR_HALVES


def measure_halves(
    crossed: CrossFitted[Part],
    circuits: ByHalf[Part],
    parts: Sequence[Part],
    order: Callable[..., list[Part]],
    settings: CircuitSettings | EdgeCircuitSettings,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Measure circuits of nodes or edges against size and against controls.

    Args:
        crossed: Runs circuits on the half that did not find them.
        circuits: The circuits of both halves.
        parts: All nodes, or all edges.
        order: Ranks all parts on some pairs; a sign of each pair's scores may follow.
        settings: Numbers of sizes and of draws.
        rng: Draws random orders.

    Returns:
        ``faithfulness``, ``remaining``, ``curve``, ``cmd``, ``cpr`` and ``controls``; shares of the
        metric's change with 95 % intervals over clusters.
    """
    kept, removed = crossed.keep([circuits])[0], crossed.remove([circuits])[0]
    observed = float(crossed.shares(kept[None])[0])
    orders = {half: order(crossed.discovery.of_half(half)) for half in PAIR_HALVES}
    random_orders = draw_orders(parts, settings.num_orders, rng)
    return {
        "faithfulness": crossed.interval(kept - crossed.empty),
        "remaining": crossed.interval(removed - crossed.empty),
        **measure_curve(crossed, orders, parts, random_orders, n_sizes=settings.n_sizes),
        "controls": {
            **compare_with_random(crossed, circuits, parts, observed, n_draws=settings.num_random),
            "shuffled_labels": compare_with_shuffled(
                crossed, circuits, order, observed, n_draws=settings.num_shuffled
            ),
        },
    }
