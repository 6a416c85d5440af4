"""Phase 4 as a pipeline; the registry repeats it for each pair of models."""

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.alignment.nodes import align_models
from emotion_circuits.reporting import draw_overlaps, draw_transfer


def create_pipeline() -> Pipeline:
    """Create the pipeline from both models' activations, vectors and subspaces to overlaps.

    Inputs of the two models are called ``…_a`` and ``…_b``; the first is mapped into the second.
    """
    tags = ["alignment"]
    phases = ("activations", "emotion_vectors", "emotion_subspaces")
    return Pipeline(
        [
            Node(
                align_models,
                inputs=[
                    *(f"{phase}_{model}" for phase in phases for model in "ab"),
                    "params:profile",
                    "params:emotions",
                    "params:alignment",
                ],
                outputs=[
                    "alignment",
                    "k_sweep",
                    "overlaps",
                    "alignment_maps",
                    "mapped_vectors",
                    "transfer",
                    "transfer_matrix",
                ],
                name="align_models",
                tags=tags,
            ),
            Node(
                draw_overlaps,
                inputs=["overlaps", "params:emotions"],
                outputs="overlap_figure",
                name="draw_overlaps",
                tags=tags,
            ),
            Node(
                draw_transfer,
                inputs=["transfer", "overlaps", "params:emotions"],
                outputs="transfer_figure",
                name="draw_transfer",
                tags=tags,
            ),
        ]
    )
