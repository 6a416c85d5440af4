"""Transfer: how well an emotion vector of one model, mapped into another, reads the emotion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from emotion_circuits.geometry.cosines import cosine
from emotion_circuits.statistics import AurocEstimate, auroc, estimate_auroc, rank_p


class Transfer(NamedTuple):
    """AUROCs of directions in B for an emotion's held-out prompts against neutral ones.

    Attributes:
        auroc_mapped: AUROC of A's mapped emotion vector.
        ci_lower: Lower end of the 95 % interval of ``auroc_mapped``.
        ci_upper: Upper end of the 95 % interval of ``auroc_mapped``.
        auroc_own: AUROC of B's own emotion vector.
        auroc_random_mean: Mean AUROC of mapped random vectors of A.
        auroc_random_p95: 95th percentile of the AUROC of mapped random vectors.
        auroc_shuffled_mean: Mean AUROC of A's emotion vector under maps of shuffled pairs.
        auroc_shuffled_p95: 95th percentile of the AUROC under maps of shuffled pairs.
        p_value: Rank p of ``auroc_mapped`` among the AUROCs under maps of shuffled pairs.
        cosine_own: Cosine between the mapped vector and B's own vector.
        norm_ratio: Length of the mapped vector over that of B's own vector.
    """

    auroc_mapped: float
    ci_lower: float
    ci_upper: float
    auroc_own: float
    auroc_random_mean: float
    auroc_random_p95: float
    auroc_shuffled_mean: float
    auroc_shuffled_p95: float
    p_value: float
    cosine_own: float
    norm_ratio: float


class Reading(NamedTuple):
    """AUROCs of one emotion's vector for two sets of held-out prompts.

    Attributes:
        mapped: AUROC of A's mapped vector, with its interval.
        own: AUROC of B's own vector of the same emotion.
        shuffled: AUROCs of A's vector under maps of shuffled pairs.
    """

    mapped: AurocEstimate
    own: float
    shuffled: Float[np.ndarray, " shuffle"]


def measure_reading(
    rows: Float[np.ndarray, "prompt d_b"],
    positive: Bool[np.ndarray, " prompt"],
    *,
    clusters: Int[np.ndarray, " prompt"] | None,
    mapped: Float[np.ndarray, " d_b"],
    own: Float[np.ndarray, " d_b"],
    shuffled: Float[np.ndarray, "shuffle d_b"],
) -> Reading:
    """Separate B's held-out prompts by an emotion's vector, which may be of another emotion.

    Args:
        rows: B's activations of the prompts.
        positive: Whether each prompt is of the emotion to detect.
        clusters: Number of each prompt's cluster, the unit of the interval; None: its own.
        mapped: A's vector in B.
        own: B's own vector of the same emotion.
        shuffled: A's vector in B under maps of shuffled pairs.
    """
    return Reading(
        estimate_auroc(rows @ mapped, positive, clusters=clusters),
        auroc(rows @ own, positive),
        np.array([auroc(rows @ vector, positive) for vector in shuffled]),
    )


def measure_transfer(
    rows: Float[np.ndarray, "prompt d_b"],
    positive: Bool[np.ndarray, " prompt"],
    *,
    clusters: Int[np.ndarray, " prompt"] | None,
    mapped: Float[np.ndarray, " d_b"],
    own: Float[np.ndarray, " d_b"],
    random: Float[np.ndarray, "vector d_b"],
    shuffled: Float[np.ndarray, "shuffle d_b"],
) -> Transfer:
    """Separate B's held-out prompts by an emotion's mapped vector, and by vectors to compare.

    Args:
        rows: B's activations of the emotion's prompts and of neutral ones.
        positive: Whether each prompt is of the emotion.
        clusters: Number of each prompt's cluster, the unit of the interval; None: its own.
        mapped: A's vector in B.
        own: B's own vector.
        random: Random vectors of A in B.
        shuffled: A's vector in B under maps of shuffled pairs.

    Returns:
        AUROCs with sign: a vector that points the wrong way scores below 0.5.
    """
    reading = measure_reading(
        rows, positive, clusters=clusters, mapped=mapped, own=own, shuffled=shuffled
    )
    by_random = np.array([auroc(rows @ vector, positive) for vector in random])
    by_shuffled = reading.shuffled
    length = float(np.linalg.norm(own))
    return Transfer(
        *reading.mapped,
        auroc_own=reading.own,
        auroc_random_mean=float(by_random.mean()),
        auroc_random_p95=float(np.quantile(by_random, 0.95)),
        auroc_shuffled_mean=float(by_shuffled.mean()),
        auroc_shuffled_p95=float(np.quantile(by_shuffled, 0.95)),
        p_value=float(rank_p(reading.mapped.auroc, by_shuffled)),
        cosine_own=cosine(mapped, own),
        norm_ratio=float(np.linalg.norm(mapped)) / length if length > 0 else float("nan"),
    )
