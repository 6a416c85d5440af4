"""Linear maps from one model's residual stream to another's, learned on paired activations.

Activations have the shape ``[prompt, position, d_model]``, with one vector per prompt and pooled
position, such as the mean over tokens or the last token. Each position is centred on its own mean.
Prompts are left out and shuffled with all their positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from emotion_circuits.errors import InputError
from emotion_circuits.geometry import maps_oracle, maps_torch

MapMethod = Literal["procrustes", "ridge", "cca"]
MapBackend = Literal["torch", "numpy"]

# Ridge penalties to choose from, as multiples of the mean squared singular value of A.
PENALTIES: Final = tuple(10.0 ** (power / 2) for power in range(-16, 5))


@dataclass(frozen=True)
class MapOptions:
    """How a map is learned.

    Attributes:
        method: ``procrustes``: principal components of both models, related by a rotation and one
            scale. ``ridge``: penalised least squares, with the penalty chosen by leave-one-out
            over prompts. ``cca``: each canonical direction of A goes to that of B, which is
            Procrustes on whitened principal components.
        rank: Number of principal components for procrustes and cca. None keeps all for procrustes,
            and for cca at most a quarter of the number of vectors: with more, canonical
            correlations are high even for noise.
        penalties: Ridge penalties to choose from, as multiples of the mean squared singular
            value of A.
        backend: ``torch`` (any device), or ``numpy``: the slow and literal oracle with its own
            choice of rank and penalty, for checks.
        device: Device for torch. MPS lacks double precision and is replaced by the CPU.
    """

    method: MapMethod = "ridge"
    rank: int | None = None
    penalties: tuple[float, ...] = PENALTIES
    backend: MapBackend = "torch"
    device: torch.device | str = "cpu"


class LinearMap(NamedTuple):
    """An affine map y = mean_b + matrix (x − mean_a).

    Differences and directions are mapped by ``matrix`` alone.

    Attributes:
        matrix: Matrix from A's dimensions to B's.
        mean_a: Mean of A's training activations at each position.
        mean_b: Mean of B's training activations at each position.
        rank: Rank of the map.
        penalty: Ridge penalty, as a multiple of the mean squared singular value of A; NaN for
            other methods.
    """

    matrix: Float[np.ndarray, "d_b d_a"]
    mean_a: Float[np.ndarray, "position d_a"]
    mean_b: Float[np.ndarray, "position d_b"]
    rank: int
    penalty: float

    def predict(
        self, rows: Float[np.ndarray, "prompt position d_a"]
    ) -> Float[np.ndarray, "prompt position d_b"]:
        """Predict B's activations from A's."""
        predicted: np.ndarray = (rows - self.mean_a) @ self.matrix.T + self.mean_b
        return predicted

    def turn(self, directions: Float[np.ndarray, "*some d_a"]) -> Float[np.ndarray, "*some d_b"]:
        """Map directions or differences, without the means."""
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
        options: Method and its parameters.

    Returns:
        The map.

    Raises:
        InputError: If there are fewer than two prompts, or activations do not vary between them.

    Source: Schönemann 1966 (orthogonal Procrustes); Hoerl and Kennard 1970 (ridge); Hotelling
    1936 (canonical correlations).
    """
    if len(rows_a) < 2:
        raise InputError(f"a map needs at least 2 neutral training prompts; there is {len(rows_a)}")
    centred_a, centred_b = (side - side.mean(axis=0) for side in (rows_a, rows_b))
    for data, side, which in (
        (centred_a, rows_a, "first"),
        (centred_b, rows_b, "second"),
    ):
        if np.abs(data).max() <= 1e-7 * np.abs(side).max():
            raise InputError(
                f"activations of the {which} model do not differ between the {len(side)} neutral "
                "training prompts; a map needs variation to learn from"
            )
    if options.backend == "numpy":
        matrix, rank, penalty = maps_oracle.fit_matrix(
            centred_a,
            centred_b,
            method=options.method,
            rank=options.rank,
            penalties=options.penalties,
        )
    elif options.method == "ridge":
        matrix, rank, penalty = _fit_ridge(centred_a, centred_b, options)
    else:
        matrix, rank = _fit_rotation(centred_a, centred_b, options)
        penalty = float("nan")
    return LinearMap(matrix, rows_a.mean(axis=0), rows_b.mean(axis=0), rank, penalty)


def _fit_ridge(
    rows_a: np.ndarray, rows_b: np.ndarray, options: MapOptions
) -> tuple[np.ndarray, int, float]:
    ridge = maps_torch.Ridge(rows_a, rows_b, options.device)
    errors = [ridge.left_out_error(penalty) for penalty in options.penalties]
    penalty = choose_penalty(errors, options.penalties, float((rows_b**2).sum()))
    return ridge.matrix(penalty), ridge.rank, penalty


def _fit_rotation(
    rows_a: np.ndarray, rows_b: np.ndarray, options: MapOptions
) -> tuple[np.ndarray, int]:
    ranks = [maps_torch.numerical_rank(side, options.device) for side in (rows_a, rows_b)]
    n_rows = rows_a.shape[0] * rows_a.shape[1]
    rank = choose_rank(options.method, options.rank, n_rows, *ranks)
    rotation = maps_torch.Rotation(rows_a, rows_b, options.method, rank, options.device)
    return rotation.matrix(), rank


def choose_rank(method: MapMethod, asked: int | None, n_rows: int, rank_a: int, rank_b: int) -> int:
    """Choose the number of principal components to keep.

    Args:
        method: ``procrustes`` or ``cca``.
        asked: ``MapOptions.rank``.
        n_rows: Number of vectors that the map is learned on.
        rank_a: Number of principal components of A.
        rank_b: Number of principal components of B.

    Returns:
        ``asked``, but at most the smaller of both ranks. If ``asked`` is None, the smaller of both
        ranks, and for ``cca`` at most a quarter of ``n_rows``.
    """
    most = min(rank_a, rank_b)
    if asked is not None:
        return min(asked, most)
    return max(1, min(most, n_rows // 4)) if method == "cca" else most


def choose_penalty(errors: Sequence[float], penalties: Sequence[float], total: float) -> float:
    """Choose the penalty with the least leave-one-out error; ties go to the largest penalty.

    Errors tie within a margin, since with fewer prompts than dimensions the shortcut to their
    computation loses digits for small penalties: half of them at 1e-8.

    Args:
        errors: Sum of squared leave-one-out errors for each penalty.
        penalties: The penalties, in the same order.
        total: Sum of squares of the predicted activations.
    """
    least = min(errors)
    return max(
        penalty
        for penalty, error in zip(penalties, errors, strict=True)
        if error <= least * (1 + 1e-5) + 1e-12 * total
    )


def turn_with_shuffled_pairs(
    rows_a: Float[np.ndarray, "prompt position d_a"],
    rows_b: Float[np.ndarray, "prompt position d_b"],
    directions: Float[np.ndarray, "direction d_a"],
    shuffles: Int[np.ndarray, "shuffle prompt"],
    *,
    fitted: LinearMap,
    options: MapOptions,
) -> Float[np.ndarray, "shuffle direction d_b"]:
    """Map directions by maps learned on shuffled pairs of prompts.

    This is the null in which the two models' activations are unrelated and each keeps its own
    distribution. The ridge penalty is that of the real pairs. Choosing it for each shuffle changed
    95th percentiles by at most 0.03 in either direction, at many times the cost; a test checks the
    rate of false alarms.

    Args:
        rows_a: A's activations.
        rows_b: B's activations of the same prompts at the same positions.
        directions: Directions of A.
        shuffles: For each shuffle, the index of B's prompt that is paired with each prompt of A.
        fitted: The map of the real pairs.
        options: Options that the map was learned with.

    Returns:
        The directions in B under the map of each shuffle.
    """
    centred_a, centred_b = (side - side.mean(axis=0) for side in (rows_a, rows_b))
    if options.backend == "numpy":
        return maps_oracle.turn_with_shuffled_pairs(
            centred_a,
            centred_b,
            directions,
            shuffles,
            method=options.method,
            rank=fitted.rank,
            penalty=fitted.penalty,
        )
    if options.method == "ridge":
        ridge = maps_torch.Ridge(centred_a, centred_b, options.device)
        return ridge.turn_with_shuffled_pairs(directions, shuffles, fitted.penalty)
    rotation = maps_torch.Rotation(
        centred_a, centred_b, options.method, fitted.rank, options.device
    )
    return rotation.turn_with_shuffled_pairs(directions, shuffles)
