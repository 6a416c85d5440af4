"""The report as a pipeline over all models and pairs of a profile."""

from collections.abc import Sequence
from typing import Final

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.reporting.nodes import (
    AND,
    OF,
    choose_continuations,
    write_report,
)

_TAGS: Final = ["reporting"]

# Results that the report reads.
OF_STUDY: Final = (
    "dataset_statistics",
    *("power_analysis", "power_requirements", "claims_figure", "power_figure"),
    *("k_selection", "overlap_places"),
    "phase_timings",
)
OF_MODELS: Final = (
    *("probe_scores", "probe_figure", "vector_norms", "vector_cosines"),
    *("emotion_vectors", "emotion_subspaces"),
    *("residual_selection", "residual_dose_figure", "residual_specificity_figure"),
    *("residual_readings_figure", "residual_prompting", "residual_side_effects"),
    "continuations",
    *("head_score_table", "head_patching_summary", "head_ranks"),
    *("head_map_figure", "head_set_figure"),
    *("circuit", "circuit_curve_figure", "circuit_graph_figure", "circuit_heads"),
    *("circuit_interaction_figure", "circuit_modulation_figure", "circuit_equal_cost"),
)
OF_PAIRS: Final = ("overlaps", "overlap_figure", "transfer", "transfer_figure", "transfer_steering")


def create_pipeline(models: Sequence[str], pairs: Sequence[tuple[str, str]] = ()) -> Pipeline:
    """Create the pipeline from the available results of all phases to the report.

    Args:
        models: Names of the profile's models.
        pairs: The profile's pairs of models.
    """
    inputs = {
        "profile": "params:profile",
        "emotions": "params:emotions",
        "parameters": "parameters",
        "model_table": "model_table",
    }
    inputs |= {name: name for name in OF_STUDY}
    inputs |= {f"{name}{OF}{model}": f"{model}.{name}" for model in models for name in OF_MODELS}
    inputs |= {
        f"{name}{OF}{a}{AND}{b}": f"{a}_vs_{b}.{name}" for a, b in pairs for name in OF_PAIRS
    }
    return Pipeline(
        [
            *(_continuations_of(model) for model in models),
            Node(
                write_report,
                inputs=inputs,
                outputs=["headline", "study_page", "report_files"],
                name="write_report",
                tags=_TAGS,
            ),
        ]
    )


def _continuations_of(model: str) -> Node:
    sources = ("residual_sweep", "random_sweep", "residual_selection", "residual_prompting_texts")
    return Node(
        choose_continuations,
        inputs={"emotions": "params:emotions"} | {name: f"{model}.{name}" for name in sources},
        outputs=f"{model}.continuations",
        name=f"choose_continuations_of_{model}",
        tags=_TAGS,
    )
