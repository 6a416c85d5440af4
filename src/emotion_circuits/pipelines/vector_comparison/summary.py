"""The table of recipes, and its summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from emotion_circuits.experiments import Outcomes, metric_name
from emotion_circuits.experiments.choice import choose_conditions
from emotion_circuits.experiments.effects import effect_table, own_effects
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.pipelines.vector_comparison.settings import VectorComparisonSettings
from emotion_circuits.prompts import EmotionSet

_KEY = ["recipe", "emotion"]


@needs_emotions("target_metrics")
def compare_recipes(
    recipe_readings: pd.DataFrame,
    recipe_sweep: Mapping[str, Any],
    emotions: EmotionSet,
    settings: VectorComparisonSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put what recipes hold beside what they do.

    For each recipe and emotion, the dose that raises the own metric most within the limit of
    fluency is chosen on one half of the prompts and reported on the other.

    Returns:
        One line per recipe and emotion: the columns of ``read_recipes``; ``relative_dose``,
        ``within_fluency`` (on the choosing half), the columns of ``own_effects`` on the reporting
        half, and ``off_target``, the largest change of another emotion's metric in either
        direction, with ``off_target_emotion`` and ``off_target_share`` of the own change.

        And one line per recipe, the best first: its parameters, ``min_d`` and ``mean_d`` over
        emotions, ``max_fluency_loss``, ``all_within_fluency``, ``max_off_target_share``,
        ``min_reliability``, ``common_share``, ``mean_auroc`` and ``mean_style_excess`` (AUROC of
        style above that of random directions). Recipes are ranked by whether all emotions stay
        within the limit of fluency, then by ``min_d``: a recipe is as good as its worst emotion.
    """
    lines = pd.DataFrame(recipe_sweep["lines"]).astype({"alpha": float, "layer": "Int64"})
    steered = pd.concat(
        [
            _effects(
                lines[(lines["kind"] == "baseline") | (lines["draw"] == number)],
                number,
                emotions,
                settings,
            )
            for number in range(len(settings.recipes))
        ]
    )
    table = recipe_readings.merge(steered, on=_KEY, how="left", validate="one_to_one")
    table = table.assign(
        off_target_share=(table["off_target"] / table["mean_diff"]).abs(),
        style_excess=table["style_auroc"] - table["style_auroc_random"],
    )
    parameters = [name for name in recipe_readings if name not in _KEY]
    parameters = parameters[: parameters.index("layer") + 1]
    summary = table.groupby(["recipe", *parameters], as_index=False, sort=False).agg(
        min_d=("cohen_d", "min"),
        mean_d=("cohen_d", "mean"),
        max_fluency_loss=("fluency_loss", "max"),
        all_within_fluency=("within_fluency", "all"),
        max_off_target_share=("off_target_share", "max"),
        min_reliability=("reliability", "min"),
        common_share=("common_share", "first"),
        mean_auroc=("auroc", "mean"),
        mean_style_excess=("style_excess", "mean"),
    )
    best_first = summary.sort_values(
        ["all_within_fluency", "min_d"], ascending=False, kind="stable", ignore_index=True
    )
    return table.drop(columns="style_excess"), best_first


def _effects(
    table: pd.DataFrame, number: int, emotions: EmotionSet, settings: VectorComparisonSettings
) -> pd.DataFrame:
    """Choose a dose per emotion for one recipe, and measure it on the other half."""
    choices = choose_conditions(
        Outcomes(table), emotions.target_metrics, max_fluency_loss=settings.max_fluency_loss
    )
    kept = table["kind"] == "baseline"
    for emotion, choice in choices.items():
        kept |= (table["emotion"] == emotion) & (table["alpha"] == choice.alpha)
    effects = effect_table(
        Outcomes(table[kept]),
        ["emotion", "alpha"],
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        halves=("confirm",),
    )
    targets = {emotion: metric_name(key) for emotion, key in emotions.target_metrics.items()}
    own = own_effects(effects, effects["emotion"].map(targets)).drop(columns="half")
    own = own.rename(columns={"alpha": "relative_dose"})
    for column, values in _off_target(effects, targets).items():
        own[column] = own["emotion"].map(values)
    own["within_fluency"] = own["emotion"].map(
        {emotion: choice.within_fluency for emotion, choice in choices.items()}
    )
    own.insert(0, "recipe", number)
    return own


def _off_target(
    effects: pd.DataFrame, targets: Mapping[str, str]
) -> dict[str, dict[str, float | str]]:
    """Return for each emotion the other emotion's metric that moves most, and by how much."""
    emotion_of = {metric: emotion for emotion, metric in targets.items()}
    found: dict[str, dict[str, float | str]] = {"off_target": {}, "off_target_emotion": {}}
    for emotion, of_emotion in effects.groupby("emotion"):
        others = of_emotion[
            of_emotion["metric_name"].isin(emotion_of)
            & (of_emotion["metric_name"] != targets[str(emotion)])
        ]
        if others.empty:
            continue
        changes = others.set_index("metric_name")["mean_diff"]
        largest = str(changes.abs().idxmax())
        found["off_target"][str(emotion)] = float(changes[largest])
        found["off_target_emotion"][str(emotion)] = emotion_of[largest]
    return found
