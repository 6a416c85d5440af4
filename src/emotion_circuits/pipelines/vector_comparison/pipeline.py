"""The comparison as a pipeline; the registry repeats it for each model."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.vector_comparison.nodes import read_recipes, steer_recipes
from emotion_circuits.pipelines.vector_comparison.summary import compare_recipes

_SETTINGS = "params:vector_comparison"
_EMOTIONS = "params:emotions"


def create_pipeline() -> Pipeline:
    """Create the pipeline from activations and neutral prompts to the table of recipes."""
    tags = ["vector_comparison"]
    return Pipeline(
        [
            Node(
                read_recipes,
                inputs=["activations", "prompts", _EMOTIONS, _SETTINGS],
                outputs=["recipe_vectors", "recipe_readings"],
                name="read_recipes",
                tags=tags,
            ),
            Node(
                steer_recipes,
                inputs=[
                    "language_model",
                    "text_evaluator",
                    "recipe_vectors",
                    "prompts",
                    "fresh_prompts",
                    "recipe_checkpoint",
                    _EMOTIONS,
                    _SETTINGS,
                ],
                outputs="recipe_sweep",
                name="steer_recipes",
                tags=tags,
            ),
            Node(
                compare_recipes,
                inputs=["recipe_readings", "recipe_sweep", _EMOTIONS, _SETTINGS],
                outputs=["vector_comparison", "vector_comparison_summary"],
                name="compare_recipes",
                tags=tags,
            ),
        ]
    )
