"""Which heads do what: naming them, changing them, and scores that need no generation."""

from emotion_circuits.circuits.agreement import Agreement, rank_agreement
from emotion_circuits.circuits.attention_mass import CueAttention, cue_attention
from emotion_circuits.circuits.attribution import (
    ablation_estimates,
    head_gradients,
    log_odds,
    log_odds_target,
    projection_target,
)
from emotion_circuits.circuits.direct_write import direct_write, final_scales, head_writes
from emotion_circuits.circuits.halves import HALVES, choose_prompts, pair_rows
from emotion_circuits.circuits.head_conditions import (
    MODES,
    ablate_heads,
    aligned_positions,
    mean_outputs,
    patch_heads,
)
from emotion_circuits.circuits.heads import Head, format_heads, parse_heads, random_heads
from emotion_circuits.circuits.intervals import Interval, mean_interval, rank_p, ratio_interval

__all__ = [
    "HALVES",
    "MODES",
    "Agreement",
    "CueAttention",
    "Head",
    "Interval",
    "ablate_heads",
    "ablation_estimates",
    "aligned_positions",
    "choose_prompts",
    "cue_attention",
    "direct_write",
    "final_scales",
    "format_heads",
    "head_gradients",
    "head_writes",
    "log_odds",
    "log_odds_target",
    "mean_interval",
    "mean_outputs",
    "pair_rows",
    "parse_heads",
    "patch_heads",
    "projection_target",
    "random_heads",
    "rank_agreement",
    "rank_p",
    "ratio_interval",
]
