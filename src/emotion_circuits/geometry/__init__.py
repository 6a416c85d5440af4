"""Directions and subspaces of emotions in the residual stream, and maps between models."""

from emotion_circuits.geometry.cosines import cosine_table
from emotion_circuits.geometry.directions import (
    POSITION_STRATEGIES,
    PooledActivations,
    emotion_vectors,
    pool_positions,
)
from emotion_circuits.geometry.layers import match_layers
from emotion_circuits.geometry.maps import LinearMap, MapOptions, fit_map
from emotion_circuits.geometry.subspaces import Subspace, fit_subspace, paired_differences

__all__ = [
    "POSITION_STRATEGIES",
    "LinearMap",
    "MapOptions",
    "PooledActivations",
    "Subspace",
    "cosine_table",
    "emotion_vectors",
    "fit_map",
    "fit_subspace",
    "match_layers",
    "paired_differences",
    "pool_positions",
]
