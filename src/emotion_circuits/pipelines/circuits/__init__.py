"""Phase 8: the circuit of heads, MLPs and edges that carries each emotion."""

from emotion_circuits.pipelines.circuits.pipeline import create_pipeline

__all__ = ["create_pipeline"]
