"""Circuits: scores of heads, attribution of nodes and edges, and the circuits they make."""

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
from emotion_circuits.circuits.edge_places import graph_of
from emotion_circuits.circuits.edge_scores import EdgeScores, edge_scores
from emotion_circuits.circuits.integrated_gradients import NodeScores, node_scores
from emotion_circuits.circuits.nodes import Edge, Graph, Node
from emotion_circuits.circuits.pair_attribution import attribute_pairs

__all__ = [
    "Agreement",
    "CueAttention",
    "Edge",
    "EdgeScores",
    "Graph",
    "Node",
    "NodeScores",
    "ablation_estimates",
    "attribute_pairs",
    "cue_attention",
    "direct_write",
    "edge_scores",
    "final_scales",
    "graph_of",
    "head_gradients",
    "head_writes",
    "log_odds",
    "log_odds_target",
    "node_scores",
    "projection_target",
    "rank_agreement",
]
