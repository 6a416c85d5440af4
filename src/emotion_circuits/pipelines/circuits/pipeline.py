"""Circuit discovery as a pipeline; the registry repeats it for each model."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.circuits.neurons import score_neurons
from emotion_circuits.pipelines.circuits.nodes import draw, find_circuits


def create_pipeline() -> Pipeline:
    """Create the pipeline from prompts and vectors to circuits and their figures."""
    return Pipeline(
        [
            Node(
                find_circuits,
                inputs=[
                    "language_model",
                    "prompts",
                    "emotion_vectors",
                    "params:emotions",
                    "params:circuits",
                    "params:profile",
                ],
                outputs=["circuit", "circuit_edges", "circuit_stability", "circuit_graph"],
                name="find_circuits",
                tags=["circuits"],
            ),
            Node(
                score_neurons,
                inputs=[
                    "language_model",
                    "prompts",
                    "emotion_vectors",
                    "params:emotions",
                    "params:circuits",
                    "circuit",
                ],
                outputs="circuit_neurons",
                name="score_neurons",
                tags=["circuits"],
            ),
            Node(
                draw,
                inputs="circuit",
                outputs=["circuit_curve_figure", "circuit_graph_figure"],
                name="draw_circuits",
                tags=["circuits"],
            ),
        ]
    )
