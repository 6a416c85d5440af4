"""Principal components of a model's activations, and canonical correlations of two models."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.geometry.angles import RANK_TOLERANCE


class Basis(NamedTuple):
    """Principal components, and the divisors of their scores.

    Attributes:
        components: Orthonormal directions in order of decreasing variance.
        lengths: Divisor of each component's scores: 1, or their norm, which whitens them.
    """

    components: Float[np.ndarray, "rank d_model"]
    lengths: Float[np.ndarray, " rank"]

    def truncate(self, rank: int) -> Basis:
        """Keep the first components."""
        return Basis(self.components[:rank], self.lengths[:rank])

    def scores(self, rows: Float[np.ndarray, "row d_model"]) -> Float[np.ndarray, "row rank"]:
        """Return the activations' coordinates in this basis."""
        scores: np.ndarray = rows @ self.components.T / self.lengths
        return scores


def principal_basis(rows: Float[np.ndarray, "row d_model"], *, whiten: bool) -> Basis:
    """Find the principal components of centred activations, without those due to rounding."""
    _, values, components = np.linalg.svd(rows, full_matrices=False)
    kept = values > RANK_TOLERANCE * values.max(initial=0.0)
    return Basis(components[kept], values[kept] if whiten else np.ones(kept.sum()))


class CanonicalCorrelations(NamedTuple):
    """Correlations between two models' canonical variables.

    Attributes:
        train: Correlations on the training prompts, descending; biased upwards.
        held_out: Correlations of the same variables on held-out prompts; NaN for fewer than three.
    """

    train: Float[np.ndarray, " rank"]
    held_out: Float[np.ndarray, " rank"]


def canonical_correlations(
    train_a: Float[np.ndarray, "row d_a"],
    train_b: Float[np.ndarray, "row d_b"],
    test_a: Float[np.ndarray, "other d_a"],
    test_b: Float[np.ndarray, "other d_b"],
    *,
    rank: int | None = None,
) -> CanonicalCorrelations:
    """Find canonical variables of two models on training prompts, and correlate them held out.

    Args:
        train_a: A's activations of the training prompts.
        train_b: B's activations of the same prompts.
        test_a: A's activations of the held-out prompts.
        test_b: B's activations of the same prompts.
        rank: Number of principal components of each model; None for all, but at most a quarter of
            the number of training prompts.

    Returns:
        As many correlations as the smaller of the two ranks.
    """
    bases = [principal_basis(side - side.mean(axis=0), whiten=True) for side in (train_a, train_b)]
    most = max(1, len(train_a) // 4) if rank is None else rank
    first, second = (basis.truncate(most) for basis in bases)
    scores_a, scores_b = (
        first.scores(train_a - train_a.mean(axis=0)),
        second.scores(train_b - train_b.mean(axis=0)),
    )
    left, train, right = np.linalg.svd(scores_b.T @ scores_a, full_matrices=False)
    if len(test_a) < 3:
        return CanonicalCorrelations(train.clip(0, 1), np.full(len(train), np.nan))
    variables_a = first.scores(test_a - train_a.mean(axis=0)) @ right.T
    variables_b = second.scores(test_b - train_b.mean(axis=0)) @ left
    held_out = [
        float(np.corrcoef(variables_a[:, index], variables_b[:, index])[0, 1])
        for index in range(len(train))
    ]
    return CanonicalCorrelations(train.clip(0, 1), np.array(held_out))
