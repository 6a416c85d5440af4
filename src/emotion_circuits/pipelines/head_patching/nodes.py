"""Phase 6, second part: a set of heads, ablated and patched."""

from typing import Any

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator, continuation_nll
from emotion_circuits.interventions import Checkpoint, Row
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.pipelines.head_patching.head_sets import head_sets
from emotion_circuits.pipelines.head_patching.plans import Plan, Planner
from emotion_circuits.pipelines.head_patching.records import Outcome, Texts, record, tidy_rows
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.pipelines.head_patching.summary import summarize
from emotion_circuits.pipelines.head_prompts import HeadPrompts, check_targets


def change_heads(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    prompts: pd.DataFrame,
    head_score_table: pd.DataFrame,
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
    check_targets(text_evaluator, settings)
    sets = head_sets(language_model, head_score_table, settings)
    data = HeadPrompts.prepare(language_model, prompts, settings)
    planner = Planner(data, settings)
    plans = [*planner.ablations(sets), *planner.patches(sets)]
    if not plans:
        raise InputError("ablations and directions are both empty; there is nothing to do")
    baseline, outcomes = _generate(data, text_evaluator, plans, settings, checkpoint)
    records = [record(data, outcome, baseline) for outcome in outcomes]
    common = {"profile": profile, "model": data.model.name}
    ablated = [item for item in records if "ablation" in item]
    patched = [item for item in records if "ablation" not in item]
    tidy = tidy_rows(data, outcomes, baseline, settings)
    return (
        {**(ablated[0] if ablated else {}), **common, "records": ablated},
        {**(patched[0] if patched else {}), **common, "records": patched},
        tidy,
        summarize(tidy, settings),
    )


def _generate(
    data: HeadPrompts,
    evaluator: TextEvaluator,
    plans: list[Plan],
    settings: HeadPatchingSettings,
    checkpoint: Checkpoint | None,
) -> tuple[Texts, list[Outcome]]:
    """Continue all plans' prompts in one table of rows, and score them together."""
    rows = [Row(ids) for ids in data.ids]
    for plan in plans:
        rows += [
            Row(data.ids[row], condition)
            for row, condition in zip(plan.rows, plan.conditions, strict=True)
        ]
    tokens = data.continue_rows(rows, settings, "head sets", checkpoint)
    texts = data.decode(tokens)
    said = Texts(
        texts,
        evaluator.evaluate_batch(texts, settings.batch_size),
        continuation_nll(
            data.model,
            [row.prompt_ids for row in rows],
            tokens,
            batch_size=settings.batch_size,
        ),
    )
    start = len(data.ids)
    outcomes = []
    for plan in plans:
        stop = start + len(plan.rows)
        outcomes.append(Outcome(plan, said.part(start, stop)))
        start = stop
    return said.part(0, len(data.ids)), outcomes
