"""Angles and overlaps by SciPy, one pair of subspaces at a time: the oracle for ``angles``.

The oracle shares nothing with what it checks, the numbers that say what is zero included.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import subspace_angles


def principal_angles(
    left: Float[np.ndarray, "k d_model"], right: Float[np.ndarray, "l d_model"]
) -> Float[np.ndarray, " angle"]:
    """As ``angles.principal_angles``, by SciPy."""
    size = min(len(left), len(right))
    left, right = _span(left), _span(right)
    if not len(left) or not len(right):
        return np.full(size, np.pi / 2)
    found = np.sort(subspace_angles(left.T, right.T))
    return np.append(found, np.full(size - len(found), np.pi / 2))


def nested_overlaps(
    left: Float[np.ndarray, "k d_model"], right: Float[np.ndarray, "k d_model"]
) -> Float[np.ndarray, " k"]:
    """As ``angles.nested_overlaps``, from the angles of each size."""
    return np.array(
        [
            float((np.cos(principal_angles(left[:size], right[:size])) ** 2).mean())
            for size in range(1, len(left) + 1)
        ]
    )


def _span(directions: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span the same, fewer where directions depend on each other.

    A direction is zero if it is a trillionth of the longest: rounding in double precision.
    Directions of length 1 depend on each other if what they span in one more dimension is 1e-7:
    activations are stored in single precision.
    """
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    kept = (lengths > 1e-12 * lengths.max(initial=0.0)).ravel()
    _, values, rows = np.linalg.svd(directions[kept] / lengths[kept], full_matrices=False)
    spanned: np.ndarray = rows[values > 1e-7 * values.max(initial=0.0)]
    return spanned
