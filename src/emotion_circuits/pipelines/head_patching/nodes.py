"""Phase 6, second part: ablation and patching of a set of heads."""

from typing import Any

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import Plan, run
from emotion_circuits.experiments.contract import nest_head_records, nest_head_result
from emotion_circuits.experiments.head_plans import HeadPlanner, baseline_lines
from emotion_circuits.experiments.head_readings import reading_table
from emotion_circuits.experiments.head_sets import (
    OTHER,
    HeadSet,
    heads_by_hand,
    other_sets,
    random_sets,
    single_heads,
    top_heads,
)
from emotion_circuits.experiments.reactions import Reactions
from emotion_circuits.experiments.set_readings import combinations, read_sets
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.pipelines.head_patching.ranks import rank_table
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.pipelines.head_patching.summary import summarize
from emotion_circuits.pipelines.head_patching.tidy import pair_table
from emotion_circuits.prompts import EmotionSet


@needs_emotions("target_metrics")
def change_heads(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    prompts: pd.DataFrame,
    head_score_table: pd.DataFrame,
    emotions: EmotionSet,
    settings: HeadPatchingSettings,
    profile: str,
    checkpoint: Checkpoint | None = None,
) -> tuple[dict[str, Any], dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ablate a set of heads, and patch it between neutral and emotional prompts.

    Args:
        language_model: The model.
        text_evaluator: The evaluator of continuations.
        prompts: Phase 1's table.
        head_score_table: Head screening's table; heads for each half of the prompts are chosen by
            their scores on the other half.
        emotions: The study's emotions.
        settings: Parameters of head patching.
        profile: The profile's name.
        checkpoint: File that keeps finished rows of a killed run.

    Returns:
        The file of ablation, with the chosen set under the first ablation at the top and every
        combination under ``records``; the file of patching, likewise; a tidy table of both; the
        summary; the chosen set's ranks among random sets; and its effect in each reading.

    Raises:
        InputError: If a head or metric does not exist, or a pair is incomplete.
    """
    emotions.check_metrics(text_evaluator.keys)
    if not settings.ablations and not settings.directions:
        raise InputError("ablations and directions are both empty; there is nothing to do")
    sets = head_sets(language_model, head_score_table, settings)
    data = settings.paired_prompts(language_model, prompts, emotions)
    planner = HeadPlanner(
        data,
        needs_v="v_only" in settings.modes and bool(settings.directions),
        batch_size=settings.batch_size,
        seed=settings.seed,
    )
    outcomes = run(
        data.model,
        text_evaluator,
        _plan(planner, sets, settings),
        settings.decoding(),
        checkpoint=checkpoint,
        progress=f"{data.model.name} head sets",
    )
    records = nest_head_records(outcomes, {heads.name: heads for heads in sets}, data.model.name)
    common = {"profile": profile, "model": data.model.name}
    reactions = Reactions.of(data, outcomes)
    tidy = pair_table(reactions, outcomes)
    return (
        nest_head_result([item for item in records if "ablation" in item], common),
        nest_head_result([item for item in records if "ablation" not in item], common),
        tidy,
        summarize(tidy, settings),
        _ranks(planner, reactions, sets, settings, checkpoint),
        reading_table(tidy, n_bootstrap=settings.n_bootstrap, seed=settings.seed),
    )


def head_sets(
    model: LanguageModel, table: pd.DataFrame, settings: HeadPatchingSettings
) -> list[HeadSet]:
    """Return the chosen set, its single heads if asked for, random sets and sets of other heads.

    Args:
        model: The model.
        table: The screening's table of scores.
        settings: Parameters of head patching.

    Raises:
        InputError: If heads do not exist, or the table lacks the score or has too few heads.
    """
    if settings.heads == "top_k":
        chosen = top_heads(model, table, score=settings.score, top_k=settings.top_k)
    else:
        chosen = heads_by_hand(model, settings.heads)
    controls = [
        draw_sets(
            model,
            chosen,
            n_draws=n_draws,
            same_layers=settings.random_layers == "same",
            seed=settings.seed,
        )
        for draw_sets, n_draws in (
            (random_sets, settings.num_random),
            (other_sets, settings.num_other),
        )
    ]
    singles = single_heads(chosen) if settings.single_heads else []
    return [chosen, *singles, *controls[0], *controls[1]]


def _plan(planner: HeadPlanner, sets: list[HeadSet], settings: HeadPatchingSettings) -> Plan:
    whole = [heads for heads in sets if heads.kind != "single"]
    return Plan.of(
        [
            *baseline_lines(planner.prompts),
            *planner.ablations(whole, settings.ablations),
            *planner.patches(sets, settings.directions, settings.modes),
        ]
    )


def _ranks(
    planner: HeadPlanner,
    reactions: Reactions,
    sets: list[HeadSet],
    settings: HeadPatchingSettings,
    checkpoint: Checkpoint | None,
) -> pd.DataFrame:
    """Rank the chosen set, the first, among random sets of any layers and of its layers."""
    model, chosen = reactions.prompts.model, sets[0]
    others = [heads for heads in sets if heads.kind == OTHER]
    read, random = [chosen, *others], dict[str, range]()
    for layers in settings.rank_layers:
        drawn = random_sets(
            model,
            chosen,
            n_draws=settings.rank_random,
            same_layers=layers == "same",
            seed=settings.seed,
        )
        random[layers] = range(len(read), len(read) + len(drawn))
        read += drawn
    readings = read_sets(
        planner,
        reactions,
        read,
        combinations(settings.ablations, settings.directions, settings.modes),
        checkpoint,
        max_scenarios=settings.rank_pairs,
        seed=settings.seed,
    )
    table = rank_table(readings, random, range(1, 1 + len(others)), settings)
    table.insert(0, "heads", chosen.spec)
    table.insert(0, "model_name", model.name)
    return table
