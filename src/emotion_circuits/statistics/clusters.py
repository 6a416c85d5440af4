"""Clusters as the samples of a test or interval: their numbers, and how many they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Int

# With fewer clusters the cluster-robust t test rejects too often where clusters differ in size.
FEW_CLUSTERS: Final = 20


def number_clusters(names: Sequence[Any] | None) -> Int[np.ndarray, " sample"] | None:
    """Number clusters from 0 in the order of their names.

    Args:
        names: Name of each sample's cluster; None if each sample is its own.

    Returns:
        The number of each sample's cluster; None if no cluster has two samples, since samples are
        then independent and need no cluster.
    """
    if names is None or len(set(names)) == len(names):
        return None
    codes: np.ndarray = np.unique(np.asarray(names, dtype=str), return_inverse=True)[1]
    return codes.astype(np.int64)


def cluster_df(
    clusters: Int[np.ndarray, " sample"], treated: Bool[np.ndarray, " sample"] | None = None
) -> float:
    """Return the degrees of freedom of the cluster-robust error of a mean, or of a difference.

    For clusters of equal size it is the number of clusters minus 1 for a mean, and minus 2 for two
    conditions with clusters of their own. It is smaller the more a few large clusters dominate.

    Args:
        clusters: Number of each sample's cluster.
        treated: Whether each sample is of the second condition, for the difference between the
            means of two conditions, which may share clusters. None for the mean of all samples.

    Returns:
        Degrees of freedom; 0 if the samples of a condition are all of one cluster.

    Source: Satterthwaite degrees of freedom of the bias-reduced (CR2) variance under independent
    errors, Bell and McCaffrey 2002; Imbens and Kolesár 2016, doi:10.1162/REST_a_00552.
    """
    sides = [np.ones(len(clusters), dtype=bool)] if treated is None else [~treated, treated]
    n_clusters = int(clusters.max()) + 1
    products = np.zeros((n_clusters, n_clusters))
    for side in sides:
        size = np.bincount(clusters[side], minlength=n_clusters).astype(np.float64)
        n, share = size.sum(), size / size.sum()
        if (size > 0).sum() < 2:
            return 0.0
        weight = 1 / (n * np.sqrt(1 - share))
        products += np.diag(size * weight**2) - np.outer(size * weight, size * weight) / n
    return max(1.0, float(np.trace(products) ** 2 / (products**2).sum()))


def are_few(df: float) -> bool:
    """Return whether degrees of freedom are those of fewer than ``FEW_CLUSTERS`` equal clusters.

    Args:
        df: The result of ``cluster_df``.
    """
    return df < FEW_CLUSTERS - 1 - 1e-9
