"""Phase 7 as a pipeline over all models and pairs of a profile."""

from collections.abc import Sequence
from typing import Final

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.statistics.nodes import (
    RESULTS,
    SELECTION,
    analyze_power,
    estimate_effects,
    summarize_k_sweeps,
)
from emotion_circuits.reporting import draw_claims, draw_power

_SETTINGS: Final = "params:statistics"
_SHARED: Final = {
    "profile": "params:profile",
    "emotions": "params:emotions",
    "settings": _SETTINGS,
}
_TAGS: Final = ["statistics"]
_MODES: Final = {"effect": "effect", "power": "effect power", "k": "k"}


def create_pipeline(
    models: Sequence[str], pairs: Sequence[tuple[str, str]] = (), *, mode: str = "all"
) -> Pipeline:
    """Create the pipeline from the available results of phases 4, 5, 6 and 8 to tables.

    Args:
        models: Names of the profile's models.
        pairs: The profile's pairs of models.
        mode: ``effect``, ``power`` (which computes effects as well), ``k`` or ``all``.
    """
    parts = _MODES.get(mode, "effect power k").split()
    nodes = []
    if "effect" in parts:
        nodes.append(_effect_node(models))
        nodes.append(
            Node(
                draw_claims,
                inputs="effect_sizes",
                outputs="claims_figure",
                name="draw_claims",
                tags=_TAGS,
            )
        )
    if "power" in parts:
        nodes.append(
            Node(
                analyze_power,
                inputs=["effect_sizes", "params:profile", _SETTINGS],
                outputs=["power_analysis", "power_requirements"],
                name="analyze_power",
                tags=_TAGS,
            )
        )
        nodes.append(
            Node(
                draw_power,
                inputs="power_analysis",
                outputs="power_figure",
                name="draw_power",
                tags=_TAGS,
            )
        )
    if "k" in parts:
        sweeps = {f"{a} and {b}": f"{a}_vs_{b}.k_sweep" for a, b in pairs}
        choices = {f"selection {model}": f"{model}.residual_selection" for model in models}
        nodes.append(
            Node(
                summarize_k_sweeps,
                inputs={**_SHARED, **sweeps, **choices},
                outputs=["k_sweep_raw", "k_selection", "overlap_places"],
                name="summarize_k_sweeps",
                tags=_TAGS,
            )
        )
    return Pipeline(nodes)


def _effect_node(models: Sequence[str]) -> Node:
    results = {
        f"{kind} {model}": f"{model}.{kind}" for kind in (*RESULTS, SELECTION) for model in models
    }
    shared = _SHARED | {name: name for name in ("prompts", "fresh_prompts")}
    return Node(
        estimate_effects,
        inputs={**shared, **results},
        outputs="effect_sizes",
        name="estimate_effects",
        tags=_TAGS,
    )
