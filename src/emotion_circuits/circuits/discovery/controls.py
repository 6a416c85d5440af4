"""What a circuit's faithfulness is compared with: random circuits, and shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
from jaxtyping import Float

from emotion_circuits.circuits.discovery.cross_fitting import ByHalf, CrossFitted
from emotion_circuits.circuits.nodes import Part
from emotion_circuits.circuits.random_circuits import Kind, permuted_circuits
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics import rank_p


def compare_with_random(
    crossed: CrossFitted[Part],
    circuits: ByHalf[Part],
    parts: Sequence[Part],
    observed: float,
    *,
    n_draws: int,
) -> dict[str, Any]:
    """Compare with random circuits of the same size: of any parts, same layers, same kinds.

    Args:
        crossed: Runs circuits on the half that did not find them.
        circuits: The circuits of both halves.
        parts: All nodes, or all edges.
        observed: Their faithfulness.
        n_draws: Number of random circuits of each kind.

    Returns:
        By kind, ``n``, ``mean``, ``upper`` (97.5 %) and ``p`` of the rank.
    """
    controls = {}
    for kind in get_args(Kind):
        images = permuted_circuits(
            [circuits[half] for half in PAIR_HALVES],
            parts,
            kind=kind,
            n_draws=n_draws,
            seed=crossed.discovery.settings.seed,
        )
        drawn = crossed.shares(
            crossed.keep([dict(zip(PAIR_HALVES, image, strict=True)) for image in images])
        )
        controls[kind] = _against(observed, drawn)
    return controls


def compare_with_shuffled(
    crossed: CrossFitted[Part],
    circuits: ByHalf[Part],
    order: Callable[[list[int], np.ndarray], list[Part]],
    observed: float,
    *,
    n_draws: int,
) -> dict[str, Any]:
    """Compare with circuits of the same size found after labels were exchanged at random.

    Exchanging a pair's emotional and neutral prompt turns the sign of its scores, since the way
    between the prompts is the same. A draw exchanges the labels of whole clusters.

    Args:
        crossed: Runs circuits on the half that did not find them.
        circuits: The circuits of both halves.
        order: Ranks all parts on some pairs, given the sign of each pair's scores.
        observed: Their faithfulness.
        n_draws: Number of exchanges.
    """
    discovery, settings = crossed.discovery, crossed.discovery.settings
    names, codes = np.unique(discovery.clusters, return_inverse=True)
    rng = rng_for(settings.seed, "shuffled_labels", discovery.emotion)
    drawn = []
    for _ in range(n_draws):
        signs = rng.choice([-1.0, 1.0], len(names))[codes]
        drawn.append(
            {
                half: order(discovery.of_half(half), signs)[: len(circuits[half])]
                for half in PAIR_HALVES
            }
        )
    return _against(observed, crossed.shares(crossed.keep(drawn)))


def _against(observed: float, drawn: Float[np.ndarray, " draw"]) -> dict[str, Any]:
    return {
        "n": len(drawn),
        "mean": float(drawn.mean()),
        "upper": float(np.quantile(drawn, 0.975)),
        "p": float(rank_p(observed, drawn)),
    }
