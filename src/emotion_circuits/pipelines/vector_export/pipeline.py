"""The export as a pipeline; the registry repeats it for each model."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.vector_export.nodes import choose_layers, export_vectors

_SETTINGS = "params:vector_export"
_EMOTIONS = "params:emotions"


def create_pipeline() -> Pipeline:
    """Create the pipeline from phase 3's vectors and phase 5's choice, if any, to files."""
    tags = ["vector_export"]
    return Pipeline(
        [
            Node(
                choose_layers,
                inputs=[_EMOTIONS, _SETTINGS, "residual_selection"],
                outputs="exported_layers",
                name="choose_exported_layers",
                tags=tags,
            ),
            Node(
                export_vectors,
                inputs=[
                    "language_model",
                    "emotion_vectors",
                    "exported_layers",
                    _EMOTIONS,
                    _SETTINGS,
                ],
                outputs=["exported_vectors", "vector_exports"],
                name="export_vectors",
                tags=tags,
            ),
        ]
    )
