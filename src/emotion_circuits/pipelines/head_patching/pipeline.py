"""Head patching as a pipeline; the registry repeats it for each model."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.head_patching.nodes import change_heads
from emotion_circuits.reporting import draw_head_sets


def create_pipeline() -> Pipeline:
    """Create the pipeline from prompts and the screening's table to effects of sets of heads."""
    return Pipeline(
        [
            Node(
                change_heads,
                inputs=[
                    "language_model",
                    "text_evaluator",
                    "prompts",
                    "head_score_table",
                    "params:emotions",
                    "params:head_patching",
                    "params:profile",
                    "head_checkpoint",
                ],
                outputs=[
                    "head_ablation",
                    "head_patching",
                    "head_patching_metrics",
                    "head_patching_summary",
                    "head_ranks",
                    "head_readings",
                ],
                name="change_heads",
                tags=["head_patching"],
            ),
            Node(
                draw_head_sets,
                inputs=["head_patching_summary", "params:emotions"],
                outputs="head_set_figure",
                name="draw_head_sets",
                tags=["head_patching"],
            ),
        ]
    )
