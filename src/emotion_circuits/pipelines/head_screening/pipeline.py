"""Head screening as a pipeline; the registry repeats it for each model."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.head_screening.nodes import screen_heads
from emotion_circuits.reporting import draw_head_map


def create_pipeline() -> Pipeline:
    """Create the pipeline from prompts and vectors to scores of every head."""
    return Pipeline(
        [
            Node(
                screen_heads,
                inputs=[
                    "language_model",
                    "text_evaluator",
                    "prompts",
                    "emotion_vectors",
                    "params:emotions",
                    "params:head_screening",
                    "params:profile",
                    "screening_checkpoint",
                ],
                outputs=["head_scores", "head_score_table", "head_agreement"],
                name="screen_heads",
                tags=["head_screening"],
            ),
            Node(
                draw_head_map,
                inputs=["head_score_table", "params:emotions"],
                outputs="head_map_figure",
                name="draw_head_map",
                tags=["head_screening"],
            ),
        ]
    )
