"""Phase 7: tables of effects from the results of all models."""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import pandas as pd

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.experiments.comparisons import Source, comparisons_of
from emotion_circuits.node_marks import takes_what_is_there
from emotion_circuits.pipelines.statistics.settings import StatisticsSettings
from emotion_circuits.prompts import EmotionSet, PromptSource, standard_form
from emotion_circuits.statistics import (
    Comparison,
    EffectOptions,
    Summary,
    effect_table,
    k_sweep_table,
    overlap_places,
    power_requirements,
    power_table,
    select_k,
)

logger = logging.getLogger(__name__)

# Results that only add to others, and whose absence is not logged.
_ADDITIONS: Final = ("head_patching", "circuit_interventions")

# Name of the input with phase 5's choice of layers, before the model's name.
_SELECTION: Final = "selection "

# Every kind of result, and the phase of its comparisons.
RESULTS: Final = {
    "residual_sweep": "residual",
    "random_sweep": "random",
    "head_ablation": "head",
    "head_patching": "head",
    "head_scores": "head_screening",
    "circuit_interventions": "circuit",
}

# Phase 5's choices, which tell the study's claims from exploration.
SELECTION: Final = "residual_selection"


@takes_what_is_there
def estimate_effects(
    profile: str,
    emotions: EmotionSet,
    settings: StatisticsSettings,
    prompts: pd.DataFrame | None,
    fresh_prompts: PromptSource | None,
    **results: Any,
) -> pd.DataFrame:
    """Compute effect size, intervals and p-values of every comparison of all phases and models.

    Args:
        profile: Name of the profile.
        emotions: The study's emotions.
        settings: Parameters of phase 7.
        prompts: Texts with their ``template_id``, needed for clusters only.
        fresh_prompts: The profile's further texts, needed for clusters only.
        results: Results by ``<kind of result> <model>``; None for a missing result.

    Raises:
        InputError: If a result does not have the format of its phase, or a text has no cluster.
    """
    wanted = {name: _is_wanted(name, settings) for name in results}
    _check_models((name.partition(" ")[2] for name in results), settings)
    _say_what_is_missing({name: result for name, result in results.items() if wanted[name]})
    comparisons = list(_read_all(results, profile, wanted))
    options = EffectOptions(
        alpha=settings.alpha,
        n_bootstrap=settings.n_bootstrap,
        n_permutations=settings.n_permutations,
        ci_method=settings.ci_method,
        family=() if settings.correction_family == "all" else settings.correction_family,
        paired=settings.paired,
        seed=settings.seed,
        labels=emotions.labels,
        n_jobs=settings.n_jobs,
        clusters=_clusters(prompts, fresh_prompts, emotions, settings),
        power=settings.power_target,
    )
    return effect_table(comparisons, options)


def analyze_power(
    effects: pd.DataFrame, profile: str, settings: StatisticsSettings
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Compute the power of each test, and the sample sizes that planned effects require."""
    table = power_table(effects, alpha=settings.alpha, power_target=settings.power_target)
    requirements = power_requirements(
        effects,
        effect_targets=settings.effect_targets,
        alpha=settings.alpha,
        power_target=settings.power_target,
    )
    folder = settings.output_dir or f"{profile}/statistics"
    report = {
        "profile": profile,
        "alpha": settings.alpha,
        "target_power": settings.power_target,
        "requirements": requirements,
        "post_hoc_power_csv": f"{folder}/power_analysis.csv",
    }
    return table, _without_nan(report)


@takes_what_is_there
def summarize_k_sweeps(
    profile: str,
    emotions: EmotionSet,
    settings: StatisticsSettings,
    **results: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """List the overlaps of all pairs of models, and choose k for each emotion.

    Args:
        profile: Name of the profile.
        emotions: The study's emotions.
        settings: Parameters of phase 7.
        results: Phase 4's sweeps by ``<A> and <B>``, and phase 5's choices of layers by
            ``selection <model>``; None for a missing result.

    Returns:
        All overlaps; the chosen k; and overlaps at the layer of steering and at the best layer.

    Raises:
        InputError: If a sweep or a choice does not have the format of its phase.
    """
    chosen_layers = {
        name.removeprefix(_SELECTION): results.pop(name)
        for name in list(results)
        if name.startswith(_SELECTION)
    }
    _check_models(chosen_layers, settings)
    results = {n: r for n, r in results.items() if settings.reads_model(*n.split(" and "))}
    present = [sweep for _, sweep in sorted(results.items()) if sweep is not None]
    absent = [name for name, sweep in sorted(results.items()) if sweep is None]
    if absent:
        logger.info("Selection of k is without the sweeps of %s", ", ".join(absent))
    try:
        steered = {
            # With several choices, the first one is the headline.
            model: table.drop_duplicates("emotion").set_index("emotion")["layer"].to_dict()
            for model, table in chosen_layers.items()
            if table is not None
        }
        places = overlap_places(present, steered, profile, emotions.labels)
        raw = k_sweep_table(present, profile, emotions.labels)
        chosen = select_k(
            present,
            profile,
            emotions.labels,
            n_bootstrap=settings.n_bootstrap,
            alpha=settings.alpha,
            seed=settings.seed,
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"a k sweep has not the format of phase 4: {error!r}") from error
    return raw, chosen, places


def _is_wanted(name: str, settings: StatisticsSettings) -> bool:
    """Say whether a result, named ``<kind of result> <model>``, is one that was asked for."""
    kind, _, model = name.partition(" ")
    phase = "residual" if kind == SELECTION else RESULTS[kind]
    return settings.reads_model(model) and settings.reads_phase(phase)


def _check_models(known: Iterable[str], settings: StatisticsSettings) -> None:
    """Refuse a model that the profile lacks."""
    names = list(dict.fromkeys(known))
    for model in () if settings.models == "all" else settings.models:
        if model not in names:
            raise unknown_name("statistics.models: model", model, names, where="the profile")


def _read_all(
    results: Mapping[str, Any], profile: str, wanted: Mapping[str, bool]
) -> Iterator[Comparison | Summary]:
    for name, result in results.items():
        kind, _, model = name.partition(" ")
        if result is None or kind == SELECTION or not wanted[name]:
            continue
        emotion_sweep = results.get(f"residual_sweep {model}")
        try:
            yield from comparisons_of(
                kind,
                result,
                Source(profile, model),
                residual_sweep=emotion_sweep,
                selection=results.get(f"{SELECTION} {model}"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{model}.{kind} has not the format of its phase: {error!r}"
            ) from error


def _say_what_is_missing(results: Mapping[str, Any]) -> None:
    """Log the phases without results."""
    missing: dict[str, list[str]] = {}
    for name, result in results.items():
        kind, _, model = name.partition(" ")
        if kind == SELECTION:
            if result is None and results.get(f"residual_sweep {model}") is not None:
                logger.info(
                    "Statistics of %s are without confirmatory claims: there is no %s.%s",
                    *(model, model, kind),
                )
        elif result is None and kind not in _ADDITIONS:
            missing.setdefault(RESULTS[kind], []).append(model)
    if missing:
        phases = (f"{phase} ({', '.join(models)})" for phase, models in missing.items())
        logger.info("Statistics are without phases that have no results: %s", "; ".join(phases))


def _clusters(
    prompts: pd.DataFrame | None,
    fresh: PromptSource | None,
    emotions: EmotionSet,
    settings: StatisticsSettings,
) -> dict[str, str] | None:
    """Return the template of each text of the dataset and of the fresh prompts, if needed."""
    if settings.cluster_by == "none":
        return None
    if prompts is None or "template_id" not in prompts:
        raise InputError(
            "cluster_by is 'template', but there is no table of prompts with a template_id; "
            "run --pipelines=dataset first, or set cluster_by to none"
        )
    tables = [] if fresh is None else [standard_form(fresh, emotions, on_duplicate="drop").table]
    if fresh is not None and not (tables[0]["template_id"] != "").any():
        logger.info("%s (fresh_prompts of the profile) has no template_id", fresh.name)
    texts = pd.concat([*tables, prompts])
    named = texts[texts["template_id"].fillna("").astype(str) != ""]
    return dict(zip(named["text"], named["template_id"].astype(str), strict=True))


def _without_nan(value: Any) -> Any:
    """Replace NaN by None, since JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
