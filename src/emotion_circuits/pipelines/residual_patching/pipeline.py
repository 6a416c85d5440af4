"""Phase 5 as a pipeline; the registry repeats it for each model."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.residual_patching.nodes import (
    measure_side_effects,
    report_residual_patching,
    sweep_controls,
    sweep_emotions,
)
from emotion_circuits.pipelines.residual_patching.prompting import (
    compare_prompting,
    report_readings,
)

_SETTINGS = "params:residual_patching"
_EMOTIONS = "params:emotions"


def create_pipeline() -> Pipeline:
    """Create the pipeline from vectors and neutral prompts to effects of steering and controls."""
    tags = ["residual_patching"]
    return Pipeline(
        [
            Node(
                sweep_emotions,
                inputs=[
                    "language_model",
                    "text_evaluator",
                    "emotion_vectors",
                    "emotion_subspaces",
                    "prompts",
                    "fresh_prompts",
                    "residual_checkpoint",
                    "params:profile",
                    _EMOTIONS,
                    _SETTINGS,
                    "imported_vectors",
                ],
                outputs="residual_sweep",
                name="sweep_emotions",
                tags=tags,
            ),
            Node(
                sweep_controls,
                inputs=[
                    "language_model",
                    "text_evaluator",
                    "emotion_vectors",
                    "emotion_subspaces",
                    "activations",
                    "residual_sweep",
                    "random_checkpoint",
                    _EMOTIONS,
                    _SETTINGS,
                    "imported_vectors",
                ],
                outputs="random_sweep",
                name="sweep_controls",
                tags=tags,
            ),
            Node(
                measure_side_effects,
                inputs=[
                    "language_model",
                    "emotion_vectors",
                    "emotion_subspaces",
                    "activations",
                    "prompts",
                    "residual_sweep",
                    _EMOTIONS,
                    _SETTINGS,
                    "imported_vectors",
                ],
                outputs="residual_side_effects",
                name="measure_side_effects",
                tags=tags,
            ),
            Node(
                compare_prompting,
                inputs=[
                    "language_model",
                    "text_evaluator",
                    "emotion_vectors",
                    "emotion_subspaces",
                    "residual_sweep",
                    _EMOTIONS,
                    _SETTINGS,
                    "imported_vectors",
                ],
                outputs=["residual_prompting", "residual_prompting_texts"],
                name="compare_prompting",
                tags=tags,
            ),
            Node(
                report_residual_patching,
                inputs=["residual_sweep", "random_sweep", _EMOTIONS, _SETTINGS],
                outputs=[
                    "residual_metrics",
                    "residual_dose_response",
                    "residual_specificity",
                    "residual_controls",
                    "residual_selection",
                    "residual_dose_figure",
                    "residual_specificity_figure",
                ],
                name="report_residual_patching",
                tags=tags,
            ),
            Node(
                report_readings,
                inputs=["residual_specificity", "residual_prompting", _EMOTIONS],
                outputs=["residual_readings", "residual_readings_figure"],
                name="report_readings",
                tags=tags,
            ),
        ]
    )
