"""The nested files that other people's scripts read: writing and reading them."""

from emotion_circuits.experiments.contract.heads import (
    nest_head_records,
    nest_head_result,
    read_head_result,
)
from emotion_circuits.experiments.contract.random import nest_random_sweep, read_random_sweep
from emotion_circuits.experiments.contract.residual import nest_residual_sweep, read_residual_sweep
from emotion_circuits.experiments.contract.screening import nest_head_scores, read_head_scores

__all__ = [
    "nest_head_records",
    "nest_head_result",
    "nest_head_scores",
    "nest_random_sweep",
    "nest_residual_sweep",
    "read_head_result",
    "read_head_scores",
    "read_random_sweep",
    "read_residual_sweep",
]
