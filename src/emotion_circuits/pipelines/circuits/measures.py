"""Circuits found on one half of the pairs and tested on the other, against controls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from jaxtyping import Float

from emotion_circuits.circuits.faithfulness import area_weights, areas, recovered, sizes_to_try
from emotion_circuits.circuits.nodes import Node
from emotion_circuits.circuits.random_circuits import Kind, permuted_circuits
from emotion_circuits.pipelines.circuits.discovery import Discovery
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics import rank_p
from emotion_circuits.statistics.ratios import ratio_interval

# Circuits or orders, by the half that they were found on.
ByHalf = Mapping[str, Sequence[Node]]
Values = Float[np.ndarray, "circuit pair"]


class CrossFitted:
    """Runs circuits on the pairs of the half that they were not found on."""

    def __init__(self, discovery: Discovery) -> None:
        self.discovery = discovery
        self.full, self.empty = discovery.verifier.full, discovery.verifier.empty

    def keep(self, circuits: Sequence[Mapping[str, Collection[Node]]]) -> Values:
        """Return the metric with all but each circuit replaced."""
        return self._run(circuits, keep=True)

    def remove(self, circuits: Sequence[Mapping[str, Collection[Node]]]) -> Values:
        """Return the metric with each circuit replaced."""
        return self._run(circuits, keep=False)

    def _run(self, circuits: Sequence[Mapping[str, Collection[Node]]], *, keep: bool) -> Values:
        values = np.empty((len(circuits), len(self.full)))
        for half, other in zip(PAIR_HALVES, reversed(PAIR_HALVES), strict=True):
            pairs = self.discovery.of_half(other)
            found = [circuit[half] for circuit in circuits]
            verifier = self.discovery.verifier
            run = verifier.keep if keep else verifier.remove
            values[:, pairs] = run(found, pairs)
        return values

    def shares(self, values: Values) -> Float[np.ndarray, " circuit"]:
        """Return the share of the metric's change that is recovered."""
        return recovered(values, self.full, self.empty)

    def interval(self, part: Float[np.ndarray, " pair"]) -> dict[str, float]:
        """Return the ratio of a part of the metric's change to the whole, with its interval."""
        found = ratio_interval(
            part,
            self.full - self.empty,
            n_bootstrap=self.discovery.settings.n_bootstrap,
            seed=self.discovery.settings.seed,
            clusters=self.discovery.clusters,
        )
        return found._asdict()


def measure_circuits(discovery: Discovery, circuits: ByHalf) -> dict[str, Any]:
    """Measure the circuit found on each half on the other half.

    Args:
        discovery: One emotion's scores and runs.
        circuits: The result of ``Discovery.circuits_of_halves``.

    Returns:
        ``halves`` (members with score and loss, faithfulness where it was found), ``faithfulness``,
        ``remaining`` (completeness: the share of the change that is left without the circuit),
        ``curve``, ``cmd``, ``cpr`` and ``controls``; shares of the metric's change with 95 %
        intervals over clusters.
    """
    crossed = CrossFitted(discovery)
    orders = {half: discovery.order(discovery.of_half(half)) for half in PAIR_HALVES}
    kept, removed = crossed.keep([circuits])[0], crossed.remove([circuits])[0]
    observed = float(crossed.shares(kept[None])[0])
    return {
        "n_pairs": len(discovery.halves),
        "n_clusters": len(set(discovery.clusters)),
        "metric_clean": float(crossed.full.mean()),
        "metric_empty": float(crossed.empty.mean()),
        "halves": {half: _members(discovery, half, circuits[half]) for half in PAIR_HALVES},
        "faithfulness": crossed.interval(kept - crossed.empty),
        "remaining": crossed.interval(removed - crossed.empty),
        **_curves(crossed, orders),
        "controls": {
            **_random(crossed, circuits, observed),
            "shuffled_labels": _shuffled(crossed, circuits, observed),
        },
    }


def _members(discovery: Discovery, half: str, circuit: Sequence[Node]) -> dict[str, Any]:
    """Describe a half's circuit: members by score, and what the loss of each costs elsewhere."""
    other = next(each for each in PAIR_HALVES if each != half)
    found_on, tested_on = discovery.of_half(half), discovery.of_half(other)
    verifier, settings = discovery.verifier, discovery.settings
    means = dict(zip(discovery.nodes, discovery.scores[found_on].mean(0), strict=True))
    whole = verifier.keep([circuit], tested_on)[0]
    without = verifier.keep(
        [[node for node in circuit if node != member] for member in circuit], tested_on
    )
    change = (verifier.full - verifier.empty)[tested_on]
    clusters = [discovery.clusters[pair] for pair in tested_on]
    members = []
    for member, values in zip(circuit, without, strict=True):
        loss = ratio_interval(
            whole - values,
            change,
            n_bootstrap=settings.n_bootstrap,
            seed=settings.seed,
            clusters=clusters,
        )
        members.append(
            {"node": str(member), "score": float(means[member])}
            | {f"loss{end}": v for end, v in zip(("", "_lower", "_upper"), loss, strict=True)}
        )
    own = recovered(
        verifier.keep([circuit], found_on), verifier.full[found_on], verifier.empty[found_on]
    )
    return {"size": len(circuit), "faithfulness_where_found": float(own[0]), "members": members}


def _curves(crossed: CrossFitted, orders: ByHalf) -> dict[str, Any]:
    """Measure faithfulness against size, and its areas, beside random orders."""
    discovery, settings = crossed.discovery, crossed.discovery.settings
    n_nodes = len(discovery.nodes)
    sizes = sizes_to_try(n_nodes, settings.n_sizes)
    weights = area_weights(sizes, n_nodes)
    values = crossed.keep(_beginnings(orders, sizes))
    curve = crossed.shares(values)
    rng = rng_for(settings.seed, "orders_of_nodes", discovery.emotion)
    random = []
    for _ in range(settings.num_orders):
        order = [discovery.nodes[index] for index in rng.permutation(n_nodes)]
        drawn = dict.fromkeys(PAIR_HALVES, order)
        random.append(crossed.shares(crossed.keep(_beginnings(drawn, sizes))))
    lines = []
    for place, size in enumerate(sizes):
        at_size = np.array([each[place] for each in random])
        lines.append(
            {
                "size": size,
                "share": size / n_nodes,
                **_named(crossed.interval(values[place] - crossed.empty), "faithfulness"),
                "random_mean": float(at_size.mean()),
                "random_upper": float(np.quantile(at_size, 0.975)),
            }
        )
    gained = values - crossed.empty
    # The sign of 1 − f is that of the estimate, so that the distance is a ratio of means too.
    distance = np.sign(1 - curve)[:, None] * ((crossed.full - crossed.empty) - gained)
    drawn_areas = [areas(sizes, each, n_nodes) for each in random]
    found = areas(sizes, curve, n_nodes)
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


def _beginnings(orders: ByHalf, sizes: Sequence[int]) -> list[dict[str, Sequence[Node]]]:
    return [{half: order[:size] for half, order in orders.items()} for size in sizes]


def _named(interval: dict[str, float], name: str) -> dict[str, float]:
    return {name: interval["value"]} | {
        f"{name}_{end}": interval[end] for end in ("lower", "upper")
    }


def _random(crossed: CrossFitted, circuits: ByHalf, observed: float) -> dict[str, Any]:
    """Compare with random circuits of the same size: of any nodes, same layers, same kinds."""
    discovery, settings = crossed.discovery, crossed.discovery.settings
    controls = {}
    for kind in get_args(Kind):
        images = permuted_circuits(
            [circuits[half] for half in PAIR_HALVES],
            discovery.nodes,
            kind=kind,
            n_draws=settings.num_random,
            seed=settings.seed,
        )
        drawn = crossed.shares(
            crossed.keep([dict(zip(PAIR_HALVES, image, strict=True)) for image in images])
        )
        controls[kind] = _against(observed, drawn)
    return controls


def _shuffled(crossed: CrossFitted, circuits: ByHalf, observed: float) -> dict[str, Any]:
    """Compare with circuits of the same size found after labels were exchanged at random.

    Exchanging a pair's emotional and neutral prompt turns the sign of its scores, since the way
    between the prompts is the same. A draw exchanges the labels of whole clusters.
    """
    discovery, settings = crossed.discovery, crossed.discovery.settings
    names, codes = np.unique(discovery.clusters, return_inverse=True)
    rng = rng_for(settings.seed, "shuffled_labels", discovery.emotion)
    drawn = []
    for _ in range(settings.num_shuffled):
        signs = rng.choice([-1.0, 1.0], len(names))[codes]
        drawn.append(
            {
                half: discovery.order(discovery.of_half(half), signs)[: len(circuits[half])]
                for half in PAIR_HALVES
            }
        )
    return _against(observed, crossed.shares(crossed.keep(drawn)))


def _against(observed: float, drawn: Float[np.ndarray, " draw"]) -> dict[str, float]:
    return {
        "n": len(drawn),
        "mean": float(drawn.mean()),
        "upper": float(np.quantile(drawn, 0.975)),
        "p": float(rank_p(observed, drawn)),
    }
