"""Directions and subspaces of emotions in the residual stream."""

from emotion_circuits.geometry.cosines import cosine_table
from emotion_circuits.geometry.directions import (
    POSITION_STRATEGIES,
    PooledActivations,
    emotion_vectors,
    pool_positions,
)
from emotion_circuits.geometry.subspaces import Subspace, fit_subspace, paired_differences

__all__ = [
    "POSITION_STRATEGIES",
    "PooledActivations",
    "Subspace",
    "cosine_table",
    "emotion_vectors",
    "fit_subspace",
    "paired_differences",
    "pool_positions",
]
