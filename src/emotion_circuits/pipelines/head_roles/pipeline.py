"""Roles of heads as pipelines; the registry repeats them for each model and pair."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.head_roles.nodes import compare_roles, describe_heads


def create_pipeline() -> Pipeline:
    """Create the pipeline from a model, its prompts and vectors to the table of its heads."""
    return Pipeline(
        [
            Node(
                describe_heads,
                inputs=[
                    "language_model",
                    "prompts",
                    "emotion_vectors",
                    "params:emotions",
                    "params:head_roles",
                ],
                outputs=["circuit_heads", "role_stability", "role_dissociation", "direction_lens"],
                name="describe_heads",
                tags=["head_roles"],
            )
        ]
    )


def create_pair_pipeline() -> Pipeline:
    """Create the pipeline from two models' tables of heads to a comparison of their roles."""
    return Pipeline(
        [
            Node(
                compare_roles,
                inputs=[
                    "circuit_heads_a",
                    "circuit_heads_b",
                    "params:emotions",
                    "params:head_roles",
                ],
                outputs="role_depths",
                name="compare_roles",
                tags=["head_roles"],
            )
        ]
    )
