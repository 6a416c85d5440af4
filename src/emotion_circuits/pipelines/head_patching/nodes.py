"""Phase 6, second part: a set of heads, ablated and patched."""

from typing import Any

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import Plan, run
from emotion_circuits.experiments.contract import nest_head_records, nest_head_result
from emotion_circuits.experiments.head_plans import HeadPlanner, baseline_lines
from emotion_circuits.experiments.head_sets import (
    HeadSet,
    heads_by_hand,
    random_sets,
    single_heads,
    top_heads,
)
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.node_marks import needs_emotions
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
) -> tuple[dict[str, Any], dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Ablate a set of heads, and patch it between neutral prompts and those of emotions.

    Args:
        language_model: The model.
        text_evaluator: Scores continuations.
        prompts: Phase 1's table.
        head_score_table: Head screening's table, which chooses heads for each half of the
            prompts on the other half.
        emotions: The study's.
        settings: What to do.
        profile: The profile's name.
        checkpoint: Where finished texts outlive a killed run.

    Returns:
        Ablation: at the top the chosen set under the first ablation, and every combination under
        ``records``; patching: a record for each combination; a tidy table of both; and the
        summary.

    Raises:
        InputError: If a head, metric or pair is not there.
    """
    emotions.check_metrics(text_evaluator.keys)
    if not settings.ablations and not settings.directions:
        raise InputError("ablations and directions are both empty; there is nothing to do")
    sets = head_sets(language_model, head_score_table, settings)
    data = settings.paired_prompts(language_model, prompts, emotions)
    outcomes = run(
        data.model,
        text_evaluator,
        _plan(data, sets, settings),
        settings.decoding(),
        checkpoint=checkpoint,
        progress=f"{data.model.name} head sets",
    )
    records = nest_head_records(outcomes, {heads.name: heads for heads in sets}, data.model.name)
    common = {"profile": profile, "model": data.model.name}
    tidy = pair_table(data, outcomes)
    return (
        nest_head_result([item for item in records if "ablation" in item], common),
        nest_head_result([item for item in records if "ablation" not in item], common),
        tidy,
        summarize(tidy, settings),
    )


def head_sets(
    model: LanguageModel, table: pd.DataFrame, settings: HeadPatchingSettings
) -> list[HeadSet]:
    """Give the chosen set, its heads one by one if asked for, and random sets of its size.

    Args:
        model: Has the heads.
        table: The screening's table of scores.
        settings: Say which.

    Raises:
        InputError: If heads do not exist, or the table lacks the score or has too few heads.
    """
    if settings.heads == "top_k":
        chosen = top_heads(model, table, score=settings.score, top_k=settings.top_k)
    else:
        chosen = heads_by_hand(model, settings.heads)
    random = random_sets(
        model,
        chosen,
        n_draws=settings.num_random,
        same_layers=settings.random_layers == "same",
        seed=settings.seed,
    )
    return [chosen, *(single_heads(chosen) if settings.single_heads else []), *random]


def _plan(data: PairedPrompts, sets: list[HeadSet], settings: HeadPatchingSettings) -> Plan:
    planner = HeadPlanner(
        data,
        needs_v="v_only" in settings.modes and bool(settings.directions),
        batch_size=settings.batch_size,
        seed=settings.seed,
    )
    whole = [heads for heads in sets if heads.kind != "single"]
    return Plan.of(
        [
            *baseline_lines(data),
            *planner.ablations(whole, settings.ablations),
            *planner.patches(sets, settings.directions, settings.modes),
        ]
    )
