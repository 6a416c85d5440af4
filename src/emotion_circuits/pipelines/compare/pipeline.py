"""Comparison of results folders as a pipeline."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.compare.nodes import compare_folders, judge_differences


def create_pipeline() -> Pipeline:
    """Create the pipeline from two results folders to a table of differences, and an error."""
    tags = ["compare"]
    return Pipeline(
        [
            Node(
                compare_folders,
                inputs=["reference_results", "candidate_results", "params:compare"],
                outputs="differences",
                name="compare_folders",
                tags=tags,
            ),
            Node(
                judge_differences,
                inputs=["differences", "params:compare"],
                outputs=None,
                name="judge_differences",
                tags=tags,
            ),
        ]
    )
