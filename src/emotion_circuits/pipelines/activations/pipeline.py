"""Phase 2 as a pipeline; the registry repeats it for each model."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.activations.nodes import capture_activations


def create_pipeline() -> Pipeline:
    """Create the pipeline from ``prompts`` and ``language_model`` to ``activations``."""
    return Pipeline(
        [
            Node(
                capture_activations,
                inputs=["language_model", "prompts", "params:activations"],
                outputs="activations",
                name="capture_activations",
                tags=["activations"],
            )
        ]
    )
