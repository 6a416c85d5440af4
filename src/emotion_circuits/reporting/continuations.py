"""Continuations of a few prompts under all conditions, from the texts of phase 5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import pandas as pd

from emotion_circuits.reporting.finite import to_number

# Prompts shown for each emotion.
N_PROMPTS: Final = 2
_CONTROLS: Final = {
    "random_results": "random direction",
    "covariance_results": "random direction of the covariance",
}
# Conditions of prompting in which the model is steered as well.
_STEERED: Final = ("both", "steering_at_cost")


class _Where(NamedTuple):
    """A condition of steering on one prompt."""

    emotion: str
    layer: int
    alpha: float
    prompt: str
    target: str | None


def pick_continuations(
    sweep: Mapping[str, Any],
    controls: Mapping[str, Any] | None,
    selection: pd.DataFrame,
    prompted: pd.DataFrame | None,
    targets: Mapping[str, str],
    *,
    n_prompts: int = N_PROMPTS,
) -> dict[str, Any]:
    """Return the texts of each emotion's headline condition beside baseline, control and prompt.

    The prompts are the first of the reporting half in the order of the sweep, so that no text is
    picked for what it says.

    Args:
        sweep: Phase 5's ``residual_sweep``.
        controls: Its ``random_sweep``, or None.
        selection: Its ``residual_selection``.
        prompted: Its ``residual_prompting_texts``, or None.
        targets: Each emotion's target metric, ``metric/label``.
        n_prompts: Number of prompts of each emotion.

    Returns:
        ``patch``: where the patch was on, as a sentence; ``items``: emotion, layer, alpha, prompt
        and texts, each with condition, text, is_patched, score and fluency.

    Raises:
        KeyError: If the sweep lacks a condition that the selection names.
    """
    halves = sweep.get("halves") or {}
    confirming = set(halves.get("confirm") or sweep["prompts"])
    prompts = [prompt for prompt in sweep["prompts"] if prompt in confirming][:n_prompts]
    is_whole, sentence = _extent(sweep.get("metadata") or {})
    places = [
        _Where(
            str(line["emotion"]),
            int(line["layer"]),
            float(line["alpha"]),
            prompt,
            targets.get(line["emotion"]),
        )
        for line in selection[selection["choice"] == "headline"].to_dict("records")
        for prompt in prompts
    ]
    items = []
    for place in places:
        steered = sweep["sweep_results"][place.emotion][place.layer][place.alpha]
        texts = [
            _swept("unsteered", sweep["baseline"], place, is_patched=False),
            _swept("steered", steered, place, is_patched=is_whole),
            *_controls(controls, place, is_patched=is_whole),
            *_prompted(prompted, place, is_patched=is_whole),
        ]
        shown = ("emotion", "layer", "alpha", "prompt")
        items.append({name: getattr(place, name) for name in shown} | {"texts": texts})
    return {"patch": sentence, "items": items}


def _extent(settings: Mapping[str, Any]) -> tuple[bool, str]:
    """Say whether the patch was on while every token was written, and in which way."""
    schedule, strengths = settings.get("schedule"), settings.get("strengths") or []
    if schedule == "list":
        return False, (
            f"The patch was on for the first {len(strengths)} generated tokens only, so steered "
            "texts are not marked."
        )
    if schedule == "decay":
        rate = settings.get("decay_rate")
        return True, f"Its strength fell by the factor {rate:g} with each token."
    return True, "Its strength was the same for all tokens."


def _swept(
    condition: str, record: Mapping[str, Any], place: _Where, *, is_patched: bool
) -> dict[str, Any]:
    metrics = (record.get("metrics") or {}).get(place.prompt) or {}
    fluency = (record.get("fluency") or {}).get(place.prompt)
    return _line(condition, record["texts"][place.prompt], is_patched, metrics, fluency, place)


def _controls(
    controls: Mapping[str, Any] | None, place: _Where, *, is_patched: bool
) -> Iterator[dict[str, Any]]:
    """Yield the texts under the first direction of each kind, where it was run."""
    for kind, name in _CONTROLS.items():
        by_emotion = (controls or {}).get(kind) or {}
        draws = by_emotion.get(place.emotion, {}).get(place.layer) or {}
        for entry in draws.get(min(draws, default=0), {}).get(place.alpha, []):
            if entry["prompt"] == place.prompt:
                metrics, fluency = entry.get("metrics") or {}, entry.get("fluency")
                yield _line(name, entry["text"], is_patched, metrics, fluency, place)


def _prompted(
    prompted: pd.DataFrame | None, place: _Where, *, is_patched: bool
) -> Iterator[dict[str, Any]]:
    if prompted is None or prompted.empty:
        return
    own = prompted[(prompted["emotion"] == place.emotion) & (prompted["prompt"] == place.prompt)]
    for line in own.to_dict("records"):
        steered = is_patched and line["condition"] in _STEERED
        name = str(line["condition"]).replace("_", " ")
        yield _line(name, "" if pd.isna(line["text"]) else line["text"], steered, {}, None, place)


def _line(
    condition: str,
    text: str,
    is_patched: bool,
    metrics: Mapping[str, Any],
    fluency: Any,
    place: _Where,
) -> dict[str, Any]:
    metric, _, label = (place.target or "").partition("/")
    return {
        "condition": condition,
        "text": str(text),
        "is_patched": is_patched,
        "score": to_number((metrics.get(metric) or {}).get(label)),
        "fluency": to_number(fluency),
    }
