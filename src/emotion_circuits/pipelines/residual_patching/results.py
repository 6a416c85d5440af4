"""The phase's two result files: put together from scored texts, and read back as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from emotion_circuits.pipelines.residual_patching.conditions import Place
from emotion_circuits.pipelines.residual_patching.scoring import Scored, ScoredText

FLUENCY = "fluency/nll"


def cell_by_prompt(scored: Mapping[str, ScoredText]) -> dict[str, Any]:
    """Give ``texts``, ``metrics``, ``fluency`` and ``token_ids``, each by prompt."""
    return {
        "texts": {prompt: item.text for prompt, item in scored.items()},
        "metrics": {prompt: item.metrics for prompt, item in scored.items()},
        "fluency": {prompt: item.fluency for prompt, item in scored.items()},
        "token_ids": {prompt: item.token_ids for prompt, item in scored.items()},
    }


def cell_as_records(scored: Mapping[str, ScoredText]) -> list[dict[str, Any]]:
    """Give ``prompt``, ``text``, ``metrics`` and ``fluency`` of each prompt, in their order."""
    return [
        {"prompt": prompt, "text": item.text, "metrics": item.metrics, "fluency": item.fluency}
        for prompt, item in scored.items()
    ]


def nest_emotions(scored: Scored, places: Iterable[Place]) -> dict[str, Any]:
    """Give ``{emotion: {layer: {alpha: cell}}}``, sorted by layer and strength."""
    nested: dict[str, Any] = {}
    for place in _sorted(places):
        layers = nested.setdefault(place.emotion, {})
        layers.setdefault(place.layer, {})[place.alpha] = cell_by_prompt(scored[place.name])
    return nested


def nest_controls(scored: Scored, places: Iterable[Place]) -> dict[str, Any]:
    """Give ``{emotion: {layer: {index: {alpha: records}}}}``, sorted likewise."""
    nested: dict[str, Any] = {}
    for place in _sorted(places):
        layers = nested.setdefault(place.emotion, {})
        indices = layers.setdefault(place.layer, {})
        indices.setdefault(place.number, {})[place.alpha] = cell_as_records(scored[place.name])
    return nested


def _sorted(places: Iterable[Place]) -> list[Place]:
    """Sort within each emotion; emotions stay in the order they come in."""
    listed = list(places)
    first = {emotion: rank for rank, emotion in enumerate(dict.fromkeys(p.emotion for p in listed))}
    return sorted(listed, key=lambda place: (first[place.emotion], *place[2:]))


def records_of(cell: Mapping[str, Any], prompts: Sequence[str]) -> list[dict[str, Any]]:
    """Give a cell by prompt as records."""
    return [
        {
            "prompt": prompt,
            "text": cell["texts"][prompt],
            "metrics": cell["metrics"][prompt],
            "fluency": cell["fluency"][prompt],
        }
        for prompt in prompts
    ]


def texts_of(sweep: Mapping[str, Any]) -> Iterator[tuple[str, ScoredText]]:
    """Give every prompt and continuation of a residual sweep, the baseline's included."""
    cells = [sweep["baseline"]]
    cells += [cell for _, _, _, cell in walk_emotions(sweep["sweep_results"])]
    for cell in cells:
        for prompt, text in cell["texts"].items():
            yield (
                prompt,
                ScoredText(
                    text,
                    cell["token_ids"][prompt],
                    cell["metrics"][prompt],
                    cell["fluency"][prompt],
                ),
            )


def walk_emotions(nested: Mapping[str, Any]) -> Iterator[tuple[str, int, float, Any]]:
    """Give emotion, layer, strength and cell of each condition."""
    for emotion, layers in nested.items():
        for layer, alphas in layers.items():
            for alpha, cell in alphas.items():
                yield emotion, layer, alpha, cell


def metric_keys(sweep: Mapping[str, Any]) -> tuple[str, ...]:
    """Give every ``metric/label``, and fluency last."""
    first: Mapping[str, Mapping[str, float]] = next(iter(sweep["baseline"]["metrics"].values()))
    named = (f"{metric}/{label}" for metric, labels in first.items() for label in labels)
    return (*named, FLUENCY)


def values_of(
    records: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> Float[np.ndarray, "prompt metric"]:
    """Give the scores of records as an array."""
    pairs = [key.split("/", 1) for key in keys]
    return np.array(
        [
            [
                record["fluency"] if key == FLUENCY else record["metrics"][metric][label]
                for key, (metric, label) in zip(keys, pairs, strict=True)
            ]
            for record in records
        ],
        dtype=float,
    ).reshape(len(records), len(keys))
