"""Modulation of each emotion's circuit on phase 5's neutral prompts, beside what was steered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emotion_circuits.circuits.found_circuits import ALL_PAIRS, FoundCircuits, whole_sets
from emotion_circuits.circuits.joint_plans import NO_CHANGE, Line
from emotion_circuits.circuits.modulation import Components, Units, mean_changes, unit_vectors
from emotion_circuits.circuits.modulation_plans import (
    Strengths,
    modulation_lines,
    random_units,
    with_controls,
)
from emotion_circuits.circuits.replacements import inner_nodes
from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import Outcomes, Plan, run
from emotion_circuits.experiments.choice import headline_layers
from emotion_circuits.experiments.circuit_lines import PROMPTING, STEERING, reading_lines
from emotion_circuits.experiments.contract import read_residual_sweep
from emotion_circuits.experiments.directions import measured_activations, vectors_at
from emotion_circuits.experiments.effects import HALVES
from emotion_circuits.experiments.imported_directions import warn_of_imported
from emotion_circuits.experiments.instructions import instructed_line
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import BASELINE, Checkpoint
from emotion_circuits.pipelines.circuit_interventions.settings import CircuitInterventionSettings
from emotion_circuits.prompts import CLUSTER, PAIR_HALVES


def modulate(
    discovery: PairedPrompts,
    evaluator: TextEvaluator,
    found: FoundCircuits,
    emotion_vectors: Mapping[str, Any],
    activations: Mapping[str, Any],
    residual_sweep: Mapping[str, Any],
    settings: CircuitInterventionSettings,
    steering: SteeringSettings,
    checkpoint: Checkpoint | None,
) -> list[pd.DataFrame]:
    """Modulate circuits, and collect steering and prompting on the same prompts.

    Args:
        discovery: The pairs that circuits were found on, which tell what an emotion adds to each
            node's contribution.
        evaluator: The evaluator of continuations.
        found: The circuits.
        emotion_vectors: Phase 3's vectors.
        activations: Phase 2's result.
        residual_sweep: Phase 5's sweep.
        settings: Parameters of the phase.
        steering: Parameters of phase 5.
        checkpoint: File that keeps finished rows of a killed run.

    Returns:
        Lines of ``reading_lines``: modulation, steering at the layers of phase 5's headline and,
        with instructions, prompting.

    Raises:
        InputError: If a layer has no vector, or the sweep no halves.
    """
    model, emotions = discovery.model, discovery.emotions
    warn_of_imported(residual_sweep)
    swept = read_residual_sweep(residual_sweep)
    baseline = _first_of_halves(swept.baseline, settings.max_prompts, model.name)
    prompts = baseline.table["prompt"].tolist()
    vectors = vectors_at(emotion_vectors, "all", "resid_post")
    pooled = measured_activations(activations, emotion_vectors, emotions, vectors)
    strengths = Strengths(settings.modulations, settings.betas, steering.steering())
    where = _places(baseline, emotions.neutral)
    planned: list[Line] = []
    for emotion in emotions.names:
        units = unit_vectors(vectors, emotion, model.n_layers)
        random = random_units(
            pooled,
            vectors,
            emotion,
            n_draws=settings.num_controls,
            split=emotion_vectors["metadata"]["split"],
            seed=settings.seed,
        )
        sets = whole_sets(
            model, found.of_emotion[emotion], n_random=settings.num_controls, seed=settings.seed
        )
        modulated = with_controls(sets, units, random)
        amounts = _amounts(discovery, emotion, units, settings.batch_size)
        planned += modulation_lines(model, emotion, where, modulated, amounts, found, strengths)
    modulation = run(
        model,
        evaluator,
        Plan.of(planned),
        steering.decoding(),
        checkpoint=checkpoint,
        known=baseline,
        progress=f"{model.name} modulation",
    )
    steered = swept.where(
        kind="emotion",
        prompt=set(prompts),
        layer=headline_layers(model.n_layers, steering.layers_up_to),
    )
    parts = [modulation, _described(steered, where, STEERING)]
    if steering.instructions:
        instructed = _prompt(discovery, evaluator, prompts, baseline, steering)
        parts.append(_described(instructed, where, PROMPTING))
    targets = emotions.target_metrics
    return [reading_lines(part, baseline, targets, model.name) for part in parts]


def _first_of_halves(baseline: Outcomes, limit: int | None, model: str) -> Outcomes:
    """Keep the first prompts of each half."""
    parts = []
    for number, half in enumerate(HALVES):
        of_half = baseline.where(half=half).table
        if of_half.empty:
            raise InputError(
                f"{model}.residual_sweep has no prompts in half {half!r}; run "
                "--pipelines=residual_patching again"
            )
        parts.append(of_half if limit is None else of_half.head((limit + 1 - number) // 2))
    return Outcomes(pd.concat(parts, ignore_index=True))


def _places(baseline: Outcomes, neutral: str) -> list[dict[str, Any]]:
    """Return the coordinates of each prompt."""
    table = baseline.table
    return [
        {"prompt_index": index, "prompt": prompt, "label": neutral, "half": half, CLUSTER: cluster}
        for index, (prompt, half, cluster) in enumerate(
            zip(table["prompt"], table["half"], table[CLUSTER], strict=True)
        )
    ]


def _amounts(
    discovery: PairedPrompts, emotion: str, units: Units, batch_size: int
) -> dict[str, Components]:
    """Return what an emotion adds to each node's component, by the pairs that it is measured on."""
    pairs = discovery.pairs(emotion)
    ids = [(discovery.ids[emotional], discovery.ids[neutral]) for emotional, neutral in pairs]
    change = mean_changes(discovery.model, ids, units, batch_size=batch_size)
    halves = np.array([discovery.halves[emotional] for emotional, _ in pairs])
    chosen = {half: halves == half for half in PAIR_HALVES} | {ALL_PAIRS: halves == halves}
    nodes = inner_nodes(discovery.model)
    return {
        name: dict(zip(nodes, change[kept].mean(0).tolist(), strict=True))
        for name, kept in chosen.items()
    }


def _described(outcomes: Outcomes, where: Sequence[Mapping[str, Any]], kind: str) -> Outcomes:
    """Give lines of steering or prompting the coordinates of modulation."""
    places = pd.DataFrame(where).set_index("prompt")
    table = outcomes.table.drop(columns=["half", CLUSTER], errors="ignore")
    table = table.join(places, on="prompt")
    doses = table["alpha"] if kind == STEERING else np.nan
    blank = dict.fromkeys(("circuit", "nodes", "direction"), "")
    other = NO_CHANGE["other_index"]
    return Outcomes(table.assign(kind=kind, mode=kind, dose=doses, other_index=other, **blank))


def _prompt(
    discovery: PairedPrompts,
    evaluator: TextEvaluator,
    prompts: Sequence[str],
    baseline: Outcomes,
    steering: SteeringSettings,
) -> Outcomes:
    """Continue the prompts after the instruction of each emotion, as phase 5 does."""
    model = discovery.model
    plan = Plan.of(
        instructed_line(
            model,
            prompt,
            text,
            BASELINE,
            {"kind": PROMPTING, "emotion": emotion, "layer": None, "alpha": None},
            steering,
        )
        for prompt in prompts
        for emotion, text in steering.instructions.items()
    )
    return run(
        model,
        evaluator,
        plan,
        steering.decoding(),
        known=baseline,
        fluency_after=[model.encode(prompt) for prompt in plan.coordinates["prompt"]],
        progress=f"{model.name} prompting",
    )
