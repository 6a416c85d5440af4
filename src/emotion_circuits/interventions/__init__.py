"""Reading and changing a model's activations; only this package adds hooks.

Sites, operators, positions, strengths and conditions describe a change. The engine runs tables of
prompts and conditions, and recording reads activations and gradients.
"""

from emotion_circuits.interventions.conditions import BASELINE, Condition, Intervention, steer
from emotion_circuits.interventions.engine.checkpoint import Checkpoint, model_digest
from emotion_circuits.interventions.engine.divergence import Divergence, divergence
from emotion_circuits.interventions.engine.patches import Applied
from emotion_circuits.interventions.engine.plans import planned
from emotion_circuits.interventions.engine.recorded_rows import record_rows
from emotion_circuits.interventions.engine.rows import Generated, Row
from emotion_circuits.interventions.engine.run import generate_rows
from emotion_circuits.interventions.engine.sampling import Sampling
from emotion_circuits.interventions.engine.shared_layers import read_logits
from emotion_circuits.interventions.engine.sweep import (
    decode,
    generate_with_patching,
    generate_with_patching_batch,
    sweep,
    text_seed,
)
from emotion_circuits.interventions.engine.teacher_forcing import continuation_log_probs
from emotion_circuits.interventions.needs import Need, Pass
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
from emotion_circuits.interventions.positions import (
    Everywhere,
    Onward,
    Positions,
    Prompt,
    Window,
    positions_for_window,
)
from emotion_circuits.interventions.recording.batches import length_batches
from emotion_circuits.interventions.recording.heads import HeadActivations, capture_heads
from emotion_circuits.interventions.recording.record import (
    Recording,
    on_cpu,
    record,
    run_with,
    stack_layers,
)
from emotion_circuits.interventions.recording.residual import HOOK_POINTS, capture_residual
from emotion_circuits.interventions.sites import Site, module_at, output_projection
from emotion_circuits.interventions.strengths import Constant, Decay, Listed, Strength

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
    "Divergence",
    "Everywhere",
    "Generated",
    "HeadActivations",
    "Intervention",
    "Listed",
    "Need",
    "Onward",
    "Operator",
    "Pass",
    "Positions",
    "ProjectOut",
    "Prompt",
    "Recording",
    "Replace",
    "ReplaceV",
    "Row",
    "Sampling",
    "SetComponent",
    "Site",
    "Strength",
    "Window",
    "ablate_mean",
    "ablate_zero",
    "capture_heads",
    "capture_residual",
    "continuation_log_probs",
    "decode",
    "divergence",
    "generate_rows",
    "generate_with_patching",
    "generate_with_patching_batch",
    "length_batches",
    "model_digest",
    "module_at",
    "on_cpu",
    "output_projection",
    "planned",
    "positions_for_window",
    "read_logits",
    "record",
    "record_rows",
    "run_with",
    "stack_layers",
    "steer",
    "sweep",
    "text_seed",
]
