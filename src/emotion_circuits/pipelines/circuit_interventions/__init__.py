"""Phase 8: circuits ablated, patched and modulated while the model writes."""

from emotion_circuits.pipelines.circuit_interventions.pipeline import create_pipeline

__all__ = ["create_pipeline"]
