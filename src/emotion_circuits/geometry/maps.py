"""Linear maps from one model's residual stream to another's, learned on paired activations.

Rows come as ``[prompt, position, d_model]``: a prompt may give one vector (its mean over tokens)
or several (also its last token). Each position is centred on its own mean, and whatever leaves
prompts out or shuffles them moves all positions of a prompt together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from emotion_circuits.errors import InputError
from emotion_circuits.geometry import maps_numpy, maps_torch

MapMethod = Literal["procrustes", "ridge", "cca"]
MapBackend = Literal["torch", "numpy"]

# Ridge penalties to choose from, as multiples of the mean squared singular value of A's rows.
PENALTIES: Final = tuple(10.0 ** (power / 2) for power in range(-16, 5))


@dataclass(frozen=True)
class MapOptions:
    """How a map is learned.

    Attributes:
        method: ``procrustes``: principal components of both models, turned into each other by
            an orthogonal matrix and one scale. ``ridge``: penalised least squares, the penalty
            chosen by leaving out one prompt at a time. ``cca``: canonical directions, put on
            each other one to one; Procrustes on principal components of unit variance.
        rank: Principal components kept for procrustes and cca; None for as many as there are,
            for cca at most a quarter of the rows, beyond which canonical correlations are high
            for noise.
        penalties: Ridge penalties to choose from, as multiples of the mean squared singular
            value of A's rows.
        backend: ``torch`` (any device), or ``numpy``, slow and literal, to check it by.
        device: Where torch computes. MPS has no double precision, and is replaced by the CPU.
    """

    method: MapMethod = "ridge"
    rank: int | None = None
    penalties: tuple[float, ...] = PENALTIES
    backend: MapBackend = "torch"
    device: torch.device | str = "cpu"


class LinearMap(NamedTuple):
    """An affine map y = mean_b + matrix (x − mean_a).

    Differences and directions transform by ``matrix`` alone.

    Attributes:
        matrix: Rows are B's dimensions.
        mean_a: Mean of A's training rows at each position.
        mean_b: Mean of B's training rows at each position.
        rank: Dimensions the map passes on.
        penalty: Of ridge, as a multiple of the mean squared singular value of A's rows; NaN for
            the others.
    """

    matrix: Float[np.ndarray, "d_b d_a"]
    mean_a: Float[np.ndarray, "position d_a"]
    mean_b: Float[np.ndarray, "position d_b"]
    rank: int
    penalty: float

    def predict(
        self, rows: Float[np.ndarray, "prompt position d_a"]
    ) -> Float[np.ndarray, "prompt position d_b"]:
        """Map A's activations to where B's should be."""
        predicted: np.ndarray = (rows - self.mean_a) @ self.matrix.T + self.mean_b
        return predicted

    def turn(self, directions: Float[np.ndarray, "*some d_a"]) -> Float[np.ndarray, "*some d_b"]:
        """Map directions or differences: the offset does not concern them."""
        turned: np.ndarray = directions @ self.matrix.T
        return turned


def fit_map(
    rows_a: Float[np.ndarray, "prompt position d_a"],
    rows_b: Float[np.ndarray, "prompt position d_b"],
    options: MapOptions,
) -> LinearMap:
    """Learn a map from A to B.

    Args:
        rows_a: A's activations.
        rows_b: B's activations of the same prompts at the same positions.
        options: How.

    Returns:
        The map.

    Raises:
        InputError: If there are fewer than two prompts, or nothing varies between them.

    Source: Schönemann 1966 (orthogonal Procrustes); Hoerl and Kennard 1970 (ridge); Hotelling
    1936 (canonical correlations).
    """
    if len(rows_a) < 2:
        raise InputError(f"a map needs at least 2 neutral training prompts; there is {len(rows_a)}")
    centred_a, centred_b = (rows - rows.mean(axis=0) for rows in (rows_a, rows_b))
    for data, rows, which in (
        (centred_a, rows_a, "first"),
        (centred_b, rows_b, "second"),
    ):
        if np.abs(data).max() <= 1e-7 * np.abs(rows).max():
            raise InputError(
                f"activations of the {which} model do not differ between the {len(rows)} neutral "
                "training prompts; a map needs variation to learn from"
            )
    if options.backend == "numpy":
        matrix, rank, penalty = maps_numpy.fit_matrix(
            centred_a,
            centred_b,
            method=options.method,
            rank=options.rank,
            penalties=options.penalties,
        )
    else:
        matrix, rank, penalty = maps_torch.fit_matrix(
            centred_a,
            centred_b,
            method=options.method,
            rank=options.rank,
            penalties=options.penalties,
            device=options.device,
        )
    return LinearMap(matrix, rows_a.mean(axis=0), rows_b.mean(axis=0), rank, penalty)


def turn_with_shuffled_pairs(
    rows_a: Float[np.ndarray, "prompt position d_a"],
    rows_b: Float[np.ndarray, "prompt position d_b"],
    directions: Float[np.ndarray, "direction d_a"],
    shuffles: Int[np.ndarray, "shuffle prompt"],
    *,
    fitted: LinearMap,
    options: MapOptions,
) -> Float[np.ndarray, "shuffle direction d_b"]:
    """Map directions by maps learned after the pairs of prompts were shuffled.

    What this gives is what the method finds where the two models' activations have nothing to
    do with each other, while each keeps its own distribution. The ridge penalty is the one that
    was chosen on the real pairs. Choosing it anew for each shuffle gave 95th percentiles within
    0.03 of these, on either side, at many times the cost; a test watches the rate of false alarms.

    Args:
        rows_a: A's activations.
        rows_b: B's activations of the same prompts at the same positions.
        directions: Directions of A.
        shuffles: For each shuffle, which of B's prompts is paired with each of A's.
        fitted: The map of the real pairs.
        options: How it was learned.

    Returns:
        The directions in B under each shuffle's map.
    """
    centred_a, centred_b = (rows - rows.mean(axis=0) for rows in (rows_a, rows_b))
    if options.backend == "numpy":
        return maps_numpy.turn_with_shuffled_pairs(
            centred_a,
            centred_b,
            directions,
            shuffles,
            method=options.method,
            rank=fitted.rank,
            penalty=fitted.penalty,
        )
    return maps_torch.turn_with_shuffled_pairs(
        centred_a,
        centred_b,
        directions,
        shuffles,
        method=options.method,
        rank=fitted.rank,
        penalty=fitted.penalty,
        device=options.device,
    )


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
    bases = [
        maps_numpy.principal_basis(rows - rows.mean(axis=0), whiten=True)
        for rows in (train_a, train_b)
    ]
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
