"""Steering with mapped vectors as a pipeline; the registry repeats it for each pair of models."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.transfer_steering.nodes import steer_with_mapped_vectors


def create_pipeline() -> Pipeline:
    """Create the pipeline from mapped vectors and the second model's sweep to their effects."""
    return Pipeline(
        [
            Node(
                steer_with_mapped_vectors,
                inputs=[
                    "language_model_b",
                    "text_evaluator",
                    "mapped_vectors",
                    "emotion_vectors_b",
                    "emotion_subspaces_b",
                    "residual_sweep_b",
                    "activations_b",
                    "params:emotions",
                    "params:residual_patching",
                ],
                outputs="transfer_steering",
                name="steer_with_mapped_vectors",
                tags=["transfer_steering"],
            )
        ]
    )
