"""Reading and changing what a model computes; the only place that adds hooks."""

from emotion_circuits.interventions.capture import HOOK_POINTS, capture_residual
from emotion_circuits.interventions.checkpoint import Checkpoint
from emotion_circuits.interventions.conditions import BASELINE, Condition, Intervention, steer
from emotion_circuits.interventions.engine import generate_rows
from emotion_circuits.interventions.generation import Generated, Row
from emotion_circuits.interventions.operators import (
    Ablate,
    Add,
    AddInSubspace,
    Operator,
    ProjectOut,
    Replace,
    ReplaceV,
    SetComponent,
    ablate_mean,
    ablate_zero,
)
from emotion_circuits.interventions.patches import Applied
from emotion_circuits.interventions.sampling import Sampling
from emotion_circuits.interventions.schedules import (
    Constant,
    Decay,
    Everywhere,
    Listed,
    Onward,
    Prompt,
    Window,
    positions_for_window,
)
from emotion_circuits.interventions.sites import Site
from emotion_circuits.interventions.sweep import (
    generate_with_patching,
    generate_with_patching_batch,
    sweep,
)

__all__ = [
    "BASELINE",
    "HOOK_POINTS",
    "Ablate",
    "Add",
    "AddInSubspace",
    "Applied",
    "Checkpoint",
    "Condition",
    "Constant",
    "Decay",
    "Everywhere",
    "Generated",
    "Intervention",
    "Listed",
    "Onward",
    "Operator",
    "ProjectOut",
    "Prompt",
    "Replace",
    "ReplaceV",
    "Row",
    "Sampling",
    "SetComponent",
    "Site",
    "Window",
    "ablate_mean",
    "ablate_zero",
    "capture_residual",
    "generate_rows",
    "generate_with_patching",
    "generate_with_patching_batch",
    "positions_for_window",
    "steer",
    "sweep",
]
