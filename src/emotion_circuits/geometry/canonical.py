"""Principal components of a model's activations, and how two models vary together along them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from emotion_circuits.geometry.angles import RANK_TOLERANCE


class Basis(NamedTuple):
    """Principal components, and what their scores are divided by.

    Attributes:
        components: Rows are orthonormal directions, most variance first.
        lengths: 1, or the norm of each component's scores, which whitens them.
    """

    components: Float[np.ndarray, "rank d_model"]
    lengths: Float[np.ndarray, " rank"]

    def truncate(self, rank: int) -> Basis:
        """Keep the first components."""
        return Basis(self.components[:rank], self.lengths[:rank])

    def scores(self, rows: Float[np.ndarray, "row d_model"]) -> Float[np.ndarray, "row rank"]:
        """Coordinates of rows in this basis."""
        scores: np.ndarray = rows @ self.components.T / self.lengths
        return scores


def principal_basis(rows: Float[np.ndarray, "row d_model"], *, whiten: bool) -> Basis:
    """Find the principal components of centred rows, as many as are above rounding."""
    _, values, components = np.linalg.svd(rows, full_matrices=False)
    kept = values > RANK_TOLERANCE * values.max(initial=0.0)
    return Basis(components[kept], values[kept] if whiten else np.ones(kept.sum()))


class CanonicalCorrelations(NamedTuple):
    """Correlations between two models' canonical variables.

    Attributes:
        train: On the rows they were found on, descending; biased upwards.
        held_out: The same variables on other rows; NaN where there are fewer than three.
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
    """Correlate the directions in which two models vary together, on other rows than they found.

    Args:
        train_a: A's rows to find them on.
        train_b: B's rows for the same prompts.
        test_a: A's rows to measure them on.
        test_b: B's rows for the same prompts.
        rank: Principal components of each model to look at; None for all there are, but at most
            a quarter of the rows.

    Returns:
        Correlations, as many as the smaller of the two ranks.
    """
    bases = [principal_basis(rows - rows.mean(axis=0), whiten=True) for rows in (train_a, train_b)]
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
        float(np.corrcoef(variables_a[:, place], variables_b[:, place])[0, 1])
        for place in range(len(train))
    ]
    return CanonicalCorrelations(train.clip(0, 1), np.array(held_out))
