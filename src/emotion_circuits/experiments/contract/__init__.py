"""The nested files that other people's scripts read, written from outcomes and read back."""

from emotion_circuits.experiments.contract.heads import (
    head_records,
    head_result,
    read_head_result,
)
from emotion_circuits.experiments.contract.random import random_sweep, read_random_sweep
from emotion_circuits.experiments.contract.residual import read_residual_sweep, residual_sweep
from emotion_circuits.experiments.contract.screening import head_scores, read_head_scores

__all__ = [
    "head_records",
    "head_result",
    "head_scores",
    "random_sweep",
    "read_head_result",
    "read_head_scores",
    "read_random_sweep",
    "read_residual_sweep",
    "residual_sweep",
]
