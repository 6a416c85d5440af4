"""From the results of phases 5 and 6 to comparisons, text by text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

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


def random_comparisons(result: Mapping[str, Any], profile: str, model: str) -> Iterator[Comparison]:
    """Compare an emotion's direction with random ones, which are averaged first, text by text.

    Args:
        result: What phase 5 writes as ``random_sweep``.
        profile: Name of the profile.
        model: Name of the model.
    """
    for emotion, layers in result["emotion_results"].items():
        for layer, strengths in layers.items():
            draws = result["random_results"].get(emotion, {}).get(layer, {})
            for alpha, records in strengths.items():
                steered = _of_records(records)
                several = [_of_records(draw[alpha]) for draw in draws.values() if alpha in draw]
                for name, patched in steered.items():
                    known = tuple(draw[name] for draw in several if name in draw)
                    if not known:
                        continue
                    key = ComparisonKey(
                        *(profile, "random", model, str(emotion), int(layer), None, ""),
                        *(float(alpha), "emotion_vs_random", name),
                    )
                    yield Comparison(key, average_draws(known), patched, known)


def _of_cell(cell: Mapping[str, Any]) -> dict[str, Sample]:
    """Read metrics by prompt, and fluency where it is beside them."""
    fluency = cell.get("fluency") or {}
    return samples_by_metric(
        (text, {**metrics, **({_FLUENCY: fluency[text]} if text in fluency else {})})
        for text, metrics in cell["metrics"].items()
    )


def _of_records(records: Iterable[Mapping[str, Any]]) -> dict[str, Sample]:
    """Read a list of records, each with its prompt."""
    return samples_by_metric(
        (
            record["prompt"],
            {
                **record["metrics"],
                **({_FLUENCY: record["fluency"]} if "fluency" in record else {}),
            },
        )
        for record in records
    )


def head_comparisons(result: Mapping[str, Any], profile: str, model: str) -> Iterator[Comparison]:
    """Compare continuations with changed heads with those of the model as it is.

    Args:
        result: What phase 6 writes as ``head_ablation``, or as ``head_patching``, which has one
            such result per combination under ``records``.
        profile: Name of the profile.
        model: Name of the model.
    """
    for record in result.get("records", [result]):
        whole = {**result, **record}
        heads = sorted((int(layer), int(head)) for layer, head in whole["heads"])
        texts = whole["prompts"]
        baseline, patched = (
            samples_by_metric(zip(texts, whole[name], strict=True))
            for name in ("baseline_metrics", "patched_metrics")
        )
        layers = {layer for layer, _ in heads}
        target = "emotion" if whole.get("direction") == "neutral_to_emotion" else "neutral"
        names = ("direction", "mode", "ablation", "control")
        variant = " ".join(str(whole[name]) for name in names if whole.get(name))
        for name in baseline.keys() & patched.keys():
            key = ComparisonKey(
                *(profile, "head", model, str(whole.get("emotion") or "")),
                heads[0][0] if len(layers) == 1 else None,
                heads[0][1] if len(heads) == 1 else None,
                " ".join(f"{layer}:{head}" for layer, head in heads),
                *(None, f"patched_vs_{target}", name, variant),
            )
            yield Comparison(key, baseline[name], patched[name])
