"""Phase 1 as a pipeline."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.dataset.nodes import build_prompts


def create_pipeline() -> Pipeline:
    """Create the pipeline from a file of prompts to ``prompts`` in standard form."""
    return Pipeline(
        [
            Node(
                build_prompts,
                inputs=["prompt_source", "params:profile", "params:emotions", "params:dataset"],
                outputs=["prompts", "dataset_statistics"],
                name="build_prompts",
                tags=["dataset"],
            )
        ]
    )
