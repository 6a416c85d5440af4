"""Comparisons of outcomes with and without an intervention, as the study's statistics use them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.circuit_comparisons import circuit_comparisons
from emotion_circuits.experiments.claims import (
    chosen_outcomes,
    claims_of,
    confirming_half,
    mark_claims,
)
from emotion_circuits.experiments.contract import (
    read_head_result,
    read_head_scores,
    read_random_sweep,
    read_residual_sweep,
)
from emotion_circuits.experiments.contract.screening import ScoreSummary
from emotion_circuits.experiments.effects import conditions_of
from emotion_circuits.experiments.outcomes import Outcomes, metric_name
from emotion_circuits.statistics import (
    Comparison,
    ComparisonKey,
    Sample,
    Summary,
    average_draws,
    average_repeats,
)

_STEERED = ("emotion", "layer", "alpha")


class Source(NamedTuple):
    """The profile and model that outcomes are from; the first columns of every comparison."""

    profile: str
    model: str


def comparisons_of(
    kind: str,
    result: Mapping[str, Any] | pd.DataFrame,
    source: Source,
    *,
    residual_sweep: Mapping[str, Any] | None = None,
    selection: pd.DataFrame | None = None,
) -> Iterator[Comparison | Summary]:
    """Turn a result of phase 5, 6 or 8 into comparisons.

    Args:
        kind: ``residual_sweep``, ``random_sweep``, ``head_ablation``, ``head_patching``,
            ``head_scores`` or ``circuit_interventions``.
        result: The content of a file of this program or of the older implementation, or its
            outcomes as a table.
        source: The result's profile and model.
        residual_sweep: For ``random_sweep``, the emotions' sweep, which holds the halves.
        selection: Phase 5's ``selection.csv``, for the study's claims. Without it, or without
            halves, all comparisons are exploratory.

    Raises:
        KeyError: If the result does not have the form of its kind; likewise ``TypeError`` and
            ``AttributeError``.
        InputError: If the confirming half of the prompts is needed and unknown.
    """
    match kind:
        case "residual_sweep":
            outcomes = _outcomes(result, read_residual_sweep)
            yield from steering_comparisons(outcomes, source)
            if not isinstance(result, pd.DataFrame):
                half, claims = confirming_half(result), claims_of(selection)
                if half and claims:
                    chosen = chosen_outcomes(outcomes, claims, half, source.model)
                    marked = mark_claims(steering_comparisons(chosen, source), claims)
                    yield from (item for item in marked if item.key.confirmatory)
        case "random_sweep":
            prompts = None
            if not isinstance(result, pd.DataFrame):
                halves = (residual_sweep or {}).get("halves")
                prompts = confirming_prompts(result, halves, source.model)
            outcomes = _outcomes(result, read_random_sweep)
            half, claims = confirming_half(residual_sweep), claims_of(selection)
            items = random_comparisons(outcomes, source, prompts)
            if half and claims and prompts is not None:
                yield from mark_claims(items, claims)
                return
            yield from items
            if half and claims:
                marked = mark_claims(random_comparisons(outcomes, source, half), claims)
                yield from (item for item in marked if item.key.confirmatory)
        case "head_scores":
            outcomes, summaries = _outcomes_and_summaries(result)
            yield from screening_comparisons(outcomes, summaries, source)
        case "circuit_interventions":
            yield from circuit_comparisons(pd.DataFrame(result), *source)
        case _:
            yield from head_comparisons(_outcomes(result, read_head_result), source)


def _outcomes(result: Any, read: Callable[[Mapping[str, Any]], Outcomes]) -> Outcomes:
    return Outcomes(result) if isinstance(result, pd.DataFrame) else read(result)


def _outcomes_and_summaries(result: Any) -> tuple[Outcomes, list[ScoreSummary]]:
    if isinstance(result, pd.DataFrame):
        return Outcomes(result), []
    return read_head_scores(result)


def samples_of(outcomes: Outcomes, keys: Sequence[str] | None = None) -> dict[str, Sample]:
    """Collect each score's values by prompt, averaged over repeats of a prompt.

    Args:
        outcomes: Lines of one condition.
        keys: The scores to collect; None for all.

    Returns:
        By score, one sample; a score that is missing in every line is left out.
    """
    names = outcomes.keys if keys is None else keys
    prompts, values = outcomes.table["prompt"].tolist(), outcomes.values(names)
    known = np.isfinite(values).any(axis=0)
    return {
        name: average_repeats(prompts, values[:, column].tolist())
        for column, name in enumerate(names)
        if known[column]
    }


def _shared(first: Mapping[str, Sample], second: Mapping[str, Sample]) -> Iterator[str]:
    """Yield the scores that both conditions have."""
    yield from (name for name in first if name in second)


def steering_comparisons(outcomes: Outcomes, source: Source) -> Iterator[Comparison]:
    """Compare steered continuations of neutral prompts with unsteered ones.

    Args:
        outcomes: Lines of the baseline, and lines with ``emotion``, ``layer`` and ``alpha``.
        source: Their profile and model.
    """
    baseline = samples_of(outcomes.baseline)
    for where, condition in conditions_of(outcomes, _STEERED):
        patched = samples_of(condition)
        for name in _shared(baseline, patched):
            key = _steering_key(source, "residual", where, "patched_vs_neutral", name)
            yield Comparison(key, baseline[name], patched[name])


def _steering_key(
    source: Source, phase: str, where: Mapping[str, Any], comparison: str, name: str
) -> ComparisonKey:
    return ComparisonKey(
        *(source.profile, phase, source.model, where["emotion"], int(where["layer"]), None, ""),
        *(float(where["alpha"]), comparison, metric_name(name)),
    )


def random_comparisons(
    outcomes: Outcomes, source: Source, prompts: Collection[str] | None = None
) -> Iterator[Comparison]:
    """Compare each emotion's direction with the mean over random directions, text by text.

    Args:
        outcomes: Lines of kind ``emotion`` and ``random``.
        source: Their profile and model.
        prompts: The prompts to use; None for all. Where controls ran only at the chosen layer or
            strength, these must be the confirming half: on the choosing half the choice favours
            the emotion over random directions.
    """
    kept = outcomes if prompts is None else outcomes.where(prompt=set(prompts))
    draws: dict[tuple[Any, ...], list[dict[str, Sample]]] = {}
    for where, lines in kept.where(kind="random").groups([*_STEERED, "draw"]):
        condition_key = tuple(where[name] for name in _STEERED)
        draws.setdefault(condition_key, []).append(samples_of(lines))
    for where, condition in kept.where(kind="emotion").groups(_STEERED):
        controls = draws.get(tuple(where.values()), [])
        for name, patched in samples_of(condition).items():
            known = tuple(draw[name] for draw in controls if name in draw)
            if known:
                key = _steering_key(source, "random", where, "emotion_vs_random", name)
                yield Comparison(key, average_draws(known), patched, known)


def confirming_prompts(
    sweep: Mapping[str, Any], halves: Mapping[str, Sequence[str]] | None, model: str
) -> Collection[str] | None:
    """Return the prompts on which an emotion may be compared with random directions.

    Args:
        sweep: The controls' file; its settings say whether layer or strength were chosen.
        halves: ``select`` and ``confirm`` of the emotions' sweep, if known.
        model: Name of the model, for messages.

    Returns:
        The confirming half; None for all prompts, if the settings do not say that layer or
        strength were chosen.

    Raises:
        InputError: If layer or strength were chosen and the halves are unknown.
    """
    settings = sweep.get("metadata") or {}
    if "selected" not in (settings.get("random_layers"), settings.get("random_alphas")):
        return None
    if halves is None:
        raise InputError(
            f"{model}.random_sweep is of chosen conditions, and {model}.residual_sweep, "
            "which knows the prompts that did not choose, is not there or has no halves; "
            "run --pipelines=residual_patching first"
        )
    return halves["confirm"]


def head_comparisons(outcomes: Outcomes, source: Source) -> Iterator[Comparison]:
    """Compare continuations with changed heads with those of the unpatched model.

    An ablation runs on prompts of all labels. It may lower an emotion on the emotion's prompts
    and raise it on others, so each label is a comparison of its own.

    Args:
        outcomes: The result of ``read_head_result``.
        source: Their profile and model.
    """
    for where, lines in outcomes.groups(["record", "emotion"]):
        baseline, changed = lines.baseline, lines.where(kind="changed")
        sides = [samples_of(side) for side in (baseline, changed)]
        first = changed.table.iloc[0]
        for name in _shared(*sides):
            key = ComparisonKey(
                *(source.profile, "head", source.model, where["emotion"]),
                *(_whole(first["layer"]), _whole(first["head"]), first["heads"]),
                *(None, "patched_vs_neutral", metric_name(name)),
                variant=first["variant"],
                control=bool(first["control"]),
            )
            yield Comparison(key, sides[0][name], sides[1][name])


def screening_comparisons(
    outcomes: Outcomes, summaries: Sequence[ScoreSummary], source: Source
) -> Iterator[Comparison | Summary]:
    """Compare each head's ablation with the unpatched model.

    Args:
        outcomes: Lines of kind ``baseline`` and ``changed`` for each head, where samples hold
            scores. Scores without such lines are compared by their summaries.
        summaries: Mean and deviation of every score's change.
        source: Their profile and model.
    """
    compared = set()
    if len(outcomes):
        for _, lines in outcomes.groups(["record"]):
            sides = [samples_of(lines.where(kind=kind)) for kind in ("baseline", "changed")]
            first = lines.table.iloc[0]
            for name in _shared(*sides):
                head = int(first["layer"]), int(first["head"])
                key = _screening_key(source, *head, name, first["variant"])
                compared.add(key)
                yield Comparison(key, sides[0][name], sides[1][name])
    for item in summaries:
        key = _screening_key(source, item.layer, item.head, item.metric, item.variant)
        if key not in compared:
            yield Summary(key, item.delta_mean, item.delta_std, item.n_samples)


def _screening_key(
    source: Source, layer: int, head: int, metric: str, variant: str
) -> ComparisonKey:
    return ComparisonKey(
        *(source.profile, "head_screening", source.model, "", layer, head, f"{layer}:{head}"),
        *(None, "screened_vs_baseline", metric_name(metric), variant),
    )


def _whole(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)
