"""From the results of phases 5 and 6 to comparisons, text by text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from emotion_circuits.errors import InputError
from emotion_circuits.statistics import (
    Comparison,
    ComparisonKey,
    Sample,
    average_draws,
    average_repeats,
)

# The patched text's negative log-likelihood under the model as it is, nats per token.
_FLUENCY: Final = "fluency/nll"


def samples_by_metric(
    records: Iterable[tuple[str, Mapping[str, Any]]],
) -> dict[str, Sample]:
    """Collect each metric's values over texts.

    Args:
        records: Texts, which may repeat, with their metrics as ``{metric: {label: value}}``.

    Returns:
        One sample for each ``metric.label``.
    """
    found: dict[str, tuple[list[str], list[float]]] = {}
    for text, metrics in records:
        for name, value in _flat(metrics):
            texts, values = found.setdefault(name, ([], []))
            texts.append(text)
            values.append(float("nan") if value is None else float(value))
    return {name: average_repeats(*columns) for name, columns in found.items()}


def _flat(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for metric, labels in metrics.items():
        if isinstance(labels, Mapping):
            for label, value in labels.items():
                yield f"{metric}.{label}", value
        else:
            yield metric_name(metric), labels


def metric_name(name: str) -> str:
    """Write an evaluator's ``metric/label`` as tables do: ``metric.label``."""
    return name.replace("/", ".", 1)


def residual_comparisons(
    result: Mapping[str, Any], profile: str, model: str
) -> Iterator[Comparison]:
    """Compare steered continuations of neutral prompts with unsteered ones.

    Args:
        result: What phase 5 writes as ``residual_sweep``.
        profile: Name of the profile.
        model: Name of the model.
    """
    baseline = _of_cell(result["baseline"])
    for emotion, layers in result["sweep_results"].items():
        for layer, strengths in layers.items():
            for alpha, leaf in strengths.items():
                patched = _of_cell(leaf)
                for name in baseline.keys() & patched.keys():
                    key = ComparisonKey(
                        *(profile, "residual", model, str(emotion), int(layer), None, ""),
                        *(float(alpha), "patched_vs_neutral", name),
                    )
                    yield Comparison(key, baseline[name], patched[name])


def random_comparisons(
    result: Mapping[str, Any],
    profile: str,
    model: str,
    halves: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Comparison]:
    """Compare an emotion's direction with random ones, which are averaged first, text by text.

    Where controls ran only at the layer or strength that one half of the prompts chose, the other
    half is compared: on the choosing half the emotion has an advantage that no random direction
    has.

    Args:
        result: What phase 5 writes as ``random_sweep``.
        profile: Name of the profile.
        model: Name of the model.
        halves: ``select`` and ``confirm`` of the ``residual_sweep``.

    Raises:
        InputError: If layer or strength were chosen and there are no halves.
    """
    kept = None
    if _is_selected(result):
        if halves is None:
            raise InputError(
                f"{model}.random_sweep is of chosen conditions, and {model}.residual_sweep, "
                "which knows the prompts that did not choose, is not there or has no halves; "
                "run --pipelines=residual_patching first"
            )
        kept = set(halves["confirm"])
    for emotion, layers in result["emotion_results"].items():
        for layer, strengths in layers.items():
            draws = result["random_results"].get(emotion, {}).get(layer, {})
            for alpha, records in strengths.items():
                steered = _of_records(records, kept)
                several = [
                    _of_records(draw[alpha], kept) for draw in draws.values() if alpha in draw
                ]
                for name, patched in steered.items():
                    known = tuple(draw[name] for draw in several if name in draw)
                    if not known:
                        continue
                    key = ComparisonKey(
                        *(profile, "random", model, str(emotion), int(layer), None, ""),
                        *(float(alpha), "emotion_vs_random", name),
                    )
                    yield Comparison(key, average_draws(known), patched, known)


def _is_selected(result: Mapping[str, Any]) -> bool:
    """Tell whether controls ran at what was chosen; results without settings say nothing of it."""
    settings = result.get("metadata") or {}
    return "selected" in (settings.get("random_layers"), settings.get("random_alphas"))


def _of_cell(cell: Mapping[str, Any]) -> dict[str, Sample]:
    """Read metrics by prompt, and fluency where it is beside them."""
    fluency = cell.get("fluency") or {}
    return samples_by_metric(
        (text, {**metrics, **({_FLUENCY: fluency[text]} if text in fluency else {})})
        for text, metrics in cell["metrics"].items()
    )


def _of_records(
    records: Iterable[Mapping[str, Any]], kept: Collection[str] | None
) -> dict[str, Sample]:
    """Read a list of records, each with its prompt, of the prompts to keep (None: all)."""
    return samples_by_metric(
        (
            record["prompt"],
            {
                **record["metrics"],
                **({_FLUENCY: record["fluency"]} if "fluency" in record else {}),
            },
        )
        for record in records
        if kept is None or record["prompt"] in kept
    )


def head_comparisons(result: Mapping[str, Any], profile: str, model: str) -> Iterator[Comparison]:
    """Compare continuations with changed heads with those of the model as it is.

    An ablation has prompts of all labels, and what lowers an emotion on its own prompts may raise
    it on others: each label is a comparison of its own.

    Args:
        result: What phase 6 writes as ``head_ablation``, or as ``head_patching``, which has one
            such result per combination under ``records``.
        profile: Name of the profile.
        model: Name of the model.
    """
    for record in result.get("records", [result]):
        whole = {**result, **record}
        heads = sorted((int(layer), int(head)) for layer, head in whole["heads"])
        layers = {layer for layer, _ in heads}
        names = ("direction", "mode", "ablation", "control")
        variant = " ".join(str(whole[name]) for name in names if whole.get(name))
        for label, places in _places_by_label(whole).items():
            baseline, patched = (
                samples_by_metric((whole["prompts"][place], whole[name][place]) for place in places)
                for name in ("baseline_metrics", "patched_metrics")
            )
            for name in baseline.keys() & patched.keys():
                key = ComparisonKey(
                    *(profile, "head", model, label),
                    heads[0][0] if len(layers) == 1 else None,
                    heads[0][1] if len(heads) == 1 else None,
                    _head_spec(whole),
                    *(None, "patched_vs_neutral", name, variant),
                    control=bool(whole.get("control")),
                )
                yield Comparison(key, baseline[name], patched[name])


def _head_spec(record: Mapping[str, Any]) -> str:
    """Name the heads; where each half of the prompts has its own set, both."""
    sets = (record.get("heads_by_half") or {"": record["heads"]}).values()
    specs = [" ".join(f"{int(layer)}:{int(head)}" for layer, head in sorted(own)) for own in sets]
    return " | ".join(dict.fromkeys(specs))


def _places_by_label(record: Mapping[str, Any]) -> dict[str, list[int]]:
    """Give the rows of each emotion: the record's own, or else the labels of its prompts."""
    n = len(record["prompts"])
    if any(len(record[name]) != n for name in ("baseline_metrics", "patched_metrics")):
        raise TypeError("prompts and metrics are not as many")
    if record.get("emotion") or not record.get("labels"):
        return {str(record.get("emotion") or ""): list(range(n))}
    found: dict[str, list[int]] = {}
    for place, label in zip(range(n), record["labels"], strict=True):
        found.setdefault(str(label), []).append(place)
    return found
