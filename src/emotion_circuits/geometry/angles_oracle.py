"""Angles and overlaps by SciPy, one pair of subspaces at a time: the oracle for ``angles``.

The oracle shares no code with ``angles``, and has its own thresholds for zero.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import subspace_angles


def principal_angles(
    left: Float[np.ndarray, "k d_model"], right: Float[np.ndarray, "l d_model"]
) -> Float[np.ndarray, " angle"]:
    """Compute ``angles.principal_angles`` by SciPy."""
    size = min(len(left), len(right))
    left, right = _span(left), _span(right)
    if not len(left) or not len(right):
        return np.full(size, np.pi / 2)
    angles = np.sort(subspace_angles(left.T, right.T))
    return np.append(angles, np.full(size - len(angles), np.pi / 2))


def nested_overlaps(
    left: Float[np.ndarray, "k d_model"], right: Float[np.ndarray, "k d_model"]
) -> Float[np.ndarray, " k"]:
    """Compute ``angles.nested_overlaps`` from the principal angles for each size."""
    return np.array(
        [
            float((np.cos(principal_angles(left[:size], right[:size])) ** 2).mean())
            for size in range(1, len(left) + 1)
        ]
    )


def _span(directions: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the directions' span.

    Directions below 1e-12 of the longest are zero up to rounding in double precision. Singular
    values of the normed directions below 1e-7 of the largest are zero up to rounding in single
    precision, in which activations are stored.
    """
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    kept = (lengths > 1e-12 * lengths.max(initial=0.0)).ravel()
    _, values, basis = np.linalg.svd(directions[kept] / lengths[kept], full_matrices=False)
    spanned: np.ndarray = basis[values > 1e-7 * values.max(initial=0.0)]
    return spanned
