"""Phase 3 as a pipeline; the registry repeats it for each model."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.emotion_vectors.nodes import (
    fit_emotion_subspaces,
    fit_emotion_vectors,
    score_probes,
)

_SETTINGS = "params:emotion_vectors"
_EMOTIONS = "params:emotions"


def create_pipeline() -> Pipeline:
    """Create the pipeline from ``activations`` to vectors, subspaces and probe scores."""
    tags = ["emotion_vectors"]
    return Pipeline(
        [
            Node(
                fit_emotion_vectors,
                inputs=["activations", _EMOTIONS, _SETTINGS, "prompts"],
                outputs=["emotion_vectors", "vector_norms", "vector_cosines"],
                name="fit_emotion_vectors",
                tags=tags,
            ),
            Node(
                fit_emotion_subspaces,
                inputs=["activations", _EMOTIONS, _SETTINGS],
                outputs="emotion_subspaces",
                name="fit_emotion_subspaces",
                tags=tags,
            ),
            Node(
                score_probes,
                inputs=["activations", "prompts", _EMOTIONS, _SETTINGS],
                outputs=["probe_scores", "probe_figure"],
                name="score_probes",
                tags=tags,
            ),
        ]
    )
