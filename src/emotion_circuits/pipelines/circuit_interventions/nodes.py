"""Phase 8: circuits ablated, patched and modulated while the model writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.circuits.found_circuits import FoundCircuits, single_nodes, whole_sets
from emotion_circuits.circuits.joint_plans import JointPlanner, unpatched_lines
from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import Plan, run
from emotion_circuits.experiments.circuit_lines import add_preferences, reading_lines
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.experiments.reactions import Reactions
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.pipelines.circuit_interventions.equal_cost import (
    dose_table,
    equal_cost_table,
    with_families,
)
from emotion_circuits.pipelines.circuit_interventions.interactions import interaction_table
from emotion_circuits.pipelines.circuit_interventions.modulated import modulate
from emotion_circuits.pipelines.circuit_interventions.settings import CircuitInterventionSettings
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.reporting.circuit_interventions import draw_interactions, draw_modulation


class CircuitChanges(NamedTuple):
    """The tables of the phase.

    Attributes:
        lines: One line per prompt and condition.
        interactions: What circuits do jointly, and the sum of what their nodes do singly.
        doses: What each strength of modulation and steering does and costs.
        equal_cost: Modulation, steering and prompting at equal cost.
    """

    lines: pd.DataFrame
    interactions: pd.DataFrame
    doses: pd.DataFrame
    equal_cost: pd.DataFrame


@needs_emotions("target_metrics")
def change_circuits(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    prompts: pd.DataFrame,
    circuit: Mapping[str, Any],
    emotion_vectors: Mapping[str, Any],
    activations: Mapping[str, Any],
    residual_sweep: Mapping[str, Any],
    emotions: EmotionSet,
    settings: CircuitInterventionSettings,
    steering: SteeringSettings,
    checkpoint: Checkpoint | None = None,
) -> CircuitChanges:
    """Ablate, patch and modulate each emotion's circuit on texts that did not help to find it.

    Args:
        language_model: The model.
        text_evaluator: The evaluator of continuations.
        prompts: Phase 1's table.
        circuit: The content of ``<model>_circuit.json``.
        emotion_vectors: Phase 3's vectors of all layers.
        activations: Phase 2's result, for random directions with its covariance.
        residual_sweep: Phase 5's sweep: neutral prompts, and what steering does to them.
        emotions: The study's emotions.
        settings: Parameters of the phase.
        steering: Parameters of phase 5, for the same positions, decoding and instructions.
        checkpoint: File that keeps finished rows of a killed run.

    Raises:
        InputError: If a circuit is empty or names a node that the model lacks, there are too few
            pairs, or vectors or metrics are missing.
    """
    emotions.check_metrics(text_evaluator.keys)
    is_joint = bool(settings.ablations or settings.patch)
    if not is_joint and not settings.modulations:
        raise InputError(
            "ablations and modulations are empty and patch is false; there is nothing to do"
        )
    model = settings.placed(language_model)
    of_search = circuit["settings"]
    discovery = PairedPrompts.prepare(
        model,
        prompts,
        emotions,
        split=of_search["split"],
        limit=of_search["max_samples_per_emotion"],
    )
    found = FoundCircuits.read(circuit, discovery, whole=settings.circuit)
    parts = []
    if is_joint:
        paired = settings.paired_prompts(model, prompts, emotions)
        parts.append(_joint_lines(paired, text_evaluator, found, settings, checkpoint))
    if settings.modulations:
        parts += modulate(
            discovery,
            text_evaluator,
            found,
            emotion_vectors,
            activations,
            residual_sweep,
            settings,
            steering,
            checkpoint,
        )
    lines = pd.concat(parts, ignore_index=True)
    options = {"n_bootstrap": settings.n_bootstrap, "seed": settings.seed}
    families = with_families(lines)
    return CircuitChanges(
        lines,
        interaction_table(lines, **options),
        dose_table(families, **options),
        equal_cost_table(families, settings.costs, **options),
    )


def _joint_lines(
    paired: PairedPrompts,
    evaluator: TextEvaluator,
    found: FoundCircuits,
    settings: CircuitInterventionSettings,
    checkpoint: Checkpoint | None,
) -> pd.DataFrame:
    """Run ablations and patches of circuits, random circuits and single nodes."""
    model, emotions = paired.model, paired.emotions
    planner = JointPlanner(paired, found, batch_size=settings.batch_size)
    planned = list(unpatched_lines(paired))
    for emotion in emotions.names:
        members = found.of_emotion[emotion]
        planned += planner.lines(
            emotion,
            whole_sets(model, members, n_random=settings.num_random, seed=settings.seed),
            single_nodes(members) if settings.single_nodes else [],
            settings.ablations,
            patch=settings.patch,
        )
    plan = Plan.of(planned)
    outcomes = run(
        model,
        evaluator,
        plan,
        settings.decoding(),
        checkpoint=checkpoint,
        progress=f"{model.name} circuits",
    )
    baseline = outcomes.baseline
    lines = reading_lines(outcomes, baseline, emotions.target_metrics, model.name, baseline)
    changed = [row for row, where in planned if where["circuit"]]
    return add_preferences(lines, changed, Reactions.of(paired, outcomes))


def draw(
    interactions: pd.DataFrame, doses: pd.DataFrame, equal_cost: pd.DataFrame, emotions: EmotionSet
) -> tuple[go.Figure, go.Figure]:
    """Draw joint effects beside sums of single ones, and effects against their costs."""
    return (
        draw_interactions(interactions, emotions.names),
        draw_modulation(doses, equal_cost, emotions.names),
    )
