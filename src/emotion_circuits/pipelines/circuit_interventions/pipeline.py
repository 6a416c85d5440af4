"""Interventions on circuits as a pipeline; the registry repeats it for each model."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.circuit_interventions.nodes import change_circuits, draw


def create_pipeline() -> Pipeline:
    """Create the pipeline from a model's circuits to the effects of changing them."""
    tags = ["circuit_interventions"]
    return Pipeline(
        [
            Node(
                change_circuits,
                inputs=[
                    "language_model",
                    "text_evaluator",
                    "prompts",
                    "circuit",
                    "emotion_vectors",
                    "activations",
                    "residual_sweep",
                    "params:emotions",
                    "params:circuit_interventions",
                    "params:residual_patching",
                    "circuit_checkpoint",
                ],
                outputs=[
                    "circuit_interventions",
                    "circuit_interactions",
                    "circuit_modulation",
                    "circuit_equal_cost",
                ],
                name="change_circuits",
                tags=tags,
            ),
            Node(
                draw,
                inputs=[
                    "circuit_interactions",
                    "circuit_modulation",
                    "circuit_equal_cost",
                    "params:emotions",
                ],
                outputs=["circuit_interaction_figure", "circuit_modulation_figure"],
                name="draw_circuit_interventions",
                tags=tags,
            ),
        ]
    )
