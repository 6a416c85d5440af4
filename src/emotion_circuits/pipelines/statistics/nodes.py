"""Phase 7: from the results of all models to tables of effects."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import pandas as pd

from emotion_circuits.datasets.records import PromptSource
from emotion_circuits.errors import InputError
from emotion_circuits.optional_inputs import takes_what_is_there
from emotion_circuits.pipelines.statistics.reading import (
    head_comparisons,
    random_comparisons,
    residual_comparisons,
)
from emotion_circuits.pipelines.statistics.screening import screening_comparisons
from emotion_circuits.pipelines.statistics.settings import StatisticsSettings
from emotion_circuits.statistics import (
    Comparison,
    EffectOptions,
    Summary,
    effect_table,
    k_sweep_table,
    power_requirements,
    power_table,
    select_k,
)

logger = logging.getLogger(__name__)

_READERS: Final[dict[str, Callable[..., Iterable[Comparison | Summary]]]] = {
    "residual_sweep": residual_comparisons,
    "head_ablation": head_comparisons,
    "head_patching": head_comparisons,
}
# Results that only add to others: their absence is nothing to speak of.
_ADDITIONS: Final = ("head_patching", "head_score_samples")

# Every kind of result, and the phase its rows are of.
RESULTS: Final = {
    "residual_sweep": "residual",
    "random_sweep": "random",
    "head_ablation": "head",
    "head_patching": "head",
    "head_scores": "head_screening",
    "head_score_samples": "head_screening",
}


@takes_what_is_there
def estimate_effects(
    profile: str,
    settings: StatisticsSettings,
    prompts: pd.DataFrame | None,
    fresh_prompts: PromptSource | None,
    **results: Any,
) -> pd.DataFrame:
    """Give every comparison of every phase and model its effect size, intervals and p-values.

    Args:
        profile: Name of the profile.
        settings: How to compute.
        prompts: Texts with their ``template_id``, needed for clusters only.
        fresh_prompts: The profile's further texts, likewise.
        results: By ``<kind of result> <model>``; None where there is none.

    Raises:
        InputError: If a result has not the format of its phase, or a text no cluster.
    """
    _say_what_is_missing(results)
    comparisons = list(_read_all(results, profile))
    options = EffectOptions(
        alpha=settings.alpha,
        n_bootstrap=settings.n_bootstrap,
        n_permutations=settings.n_permutations,
        ci_method=settings.ci_method,
        family=() if settings.correction_family == "all" else settings.correction_family,
        paired=settings.paired,
        seed=settings.seed,
        n_jobs=settings.n_jobs,
        clusters=_clusters(prompts, fresh_prompts, settings),
    )
    return effect_table(comparisons, options)


def analyze_power(
    effects: pd.DataFrame, profile: str, settings: StatisticsSettings
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Give the power of each test, and the samples that planned effects would take."""
    table = power_table(effects, alpha=settings.alpha, power_target=settings.power_target)
    requirements = power_requirements(
        effects,
        effect_targets=settings.effect_targets,
        alpha=settings.alpha,
        power_target=settings.power_target,
    )
    report = {
        "profile": profile,
        "alpha": settings.alpha,
        "target_power": settings.power_target,
        "requirements": requirements,
        "post_hoc_power_csv": f"{profile}/statistics/power_analysis.csv",
    }
    return table, _without_nan(report)


@takes_what_is_there
def summarize_k_sweeps(
    profile: str, settings: StatisticsSettings, **sweeps: dict[str, Any] | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the overlaps of all pairs of models, and choose k for each emotion."""
    found = [sweep for _, sweep in sorted(sweeps.items()) if sweep is not None]
    absent = [name for name, sweep in sorted(sweeps.items()) if sweep is None]
    if absent:
        logger.info("Selection of k is without the sweeps of %s", ", ".join(absent))
    try:
        raw = k_sweep_table(found, profile)
        chosen = select_k(
            found,
            profile,
            n_bootstrap=settings.n_bootstrap,
            alpha=settings.alpha,
            seed=settings.seed,
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"a k sweep has not the format of phase 4: {error!r}") from error
    return raw, chosen


def _read_all(results: Mapping[str, Any], profile: str) -> Iterator[Comparison | Summary]:
    for name, result in results.items():
        kind, _, model = name.partition(" ")
        if result is None or kind == "head_score_samples":
            continue
        try:
            if kind == "head_scores":
                samples = results.get(f"head_score_samples {model}")
                yield from screening_comparisons(result, samples, profile, model)
            elif kind == "random_sweep":
                sweep = results.get(f"residual_sweep {model}") or {}
                yield from random_comparisons(result, profile, model, sweep.get("halves"))
            else:
                yield from _READERS[kind](result, profile, model)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{model}.{kind} has not the format of its phase: {error!r}"
            ) from error


def _say_what_is_missing(results: Mapping[str, Any]) -> None:
    """Name the phases that have no results, once."""
    missing: dict[str, list[str]] = {}
    for name, result in results.items():
        kind, _, model = name.partition(" ")
        if result is None and kind not in _ADDITIONS:
            missing.setdefault(RESULTS[kind], []).append(model)
    if missing:
        phases = (f"{phase} ({', '.join(models)})" for phase, models in missing.items())
        logger.info("Statistics are without phases that have no results: %s", "; ".join(phases))


def _clusters(
    prompts: pd.DataFrame | None, fresh: PromptSource | None, settings: StatisticsSettings
) -> dict[str, str] | None:
    """Give the template of each text of the dataset and of the fresh prompts."""
    if settings.cluster_by == "none":
        return None
    if prompts is None or "template_id" not in prompts:
        raise InputError(
            "cluster_by is 'template', but there is no table of prompts with a template_id; "
            "run --pipelines=dataset first, or set cluster_by to none"
        )
    pairs = [] if fresh is None else [record.fields for record in fresh.records]
    found = {
        str(fields["text"]): str(fields["template_id"])
        for fields in pairs
        if fields.get("text") and fields.get("template_id")
    }
    if fresh is not None and not found:
        logger.info("%s (fresh_prompts of the profile) has no template_id", fresh.name)
    named = prompts[prompts["template_id"].fillna("").astype(str) != ""]
    return found | dict(zip(named["text"], named["template_id"].astype(str), strict=True))


def _without_nan(value: Any) -> Any:
    """Replace NaN by None: JSON has no such number."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
