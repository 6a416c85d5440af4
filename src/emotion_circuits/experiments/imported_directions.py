"""Directions from files in the place of a study's own emotion vectors."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from emotion_circuits.direction_files import Directions
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.prompts import EmotionSet

logger = logging.getLogger(__name__)

HOOK_POINT = "resid_post"
Imported = Mapping[str, Directions]  # by emotion


def with_imported(
    emotion_vectors: Mapping[str, Any],
    imported: Imported | None,
    model: LanguageModel,
    emotions: EmotionSet,
) -> Mapping[str, Any]:
    """Put imported directions in the place of phase 3's vectors.

    Args:
        emotion_vectors: Phase 3's result.
        imported: Directions by emotion; None or empty leaves the result as it is.
        model: The model that the directions are for.
        emotions: The study's emotions.

    Returns:
        Phase 3's result with ``imported``: by emotion and layer, the vector that ``vectors_at``
        takes instead of phase 3's.

    Raises:
        InputError: If an emotion is unknown, the vectors are of another hook point, or directions
            are of another width, architecture or hook point, or of a layer that the model lacks.
    """
    if not imported:
        return emotion_vectors
    measured_at = emotion_vectors["metadata"]["hook_pos"]
    if measured_at != HOOK_POINT:
        raise InputError(
            f"imported directions are added at {HOOK_POINT!r}, but the emotion vectors were "
            f"measured at {measured_at!r}; set emotion_vectors.hook_point to {HOOK_POINT}"
        )
    for emotion, directions in imported.items():
        if emotion not in emotions.names:
            raise unknown_name("emotion of imported_vectors", emotion, emotions.names)
        _check(emotion, directions, model)
    return {
        **emotion_vectors,
        "imported": {emotion: dict(each.by_layer) for emotion, each in imported.items()},
    }


def describe_imported(imported: Imported | None) -> dict[str, Any]:
    """Return by emotion the layers and metadata of imported directions, for a result's metadata."""
    described = {
        emotion: {**each.metadata, "layers": each.layers}
        for emotion, each in (imported or {}).items()
    }
    return {"imported_vectors": described} if described else {}


def warn_of_imported(residual_sweep: Mapping[str, Any]) -> None:
    """Warn that another phase takes layers and strengths of a sweep with imported directions.

    Args:
        residual_sweep: Phase 5's sweep, whose choices the phase applies to phase 3's vectors.
    """
    imported = (residual_sweep.get("metadata") or {}).get("imported_vectors")
    if imported:
        logger.warning(
            "%s was steered with imported directions of %s; the layers and strengths chosen for "
            "them are used with the study's own vectors here",
            residual_sweep["model"],
            ", ".join(imported),
        )


def _check(emotion: str, directions: Directions, model: LanguageModel) -> None:
    what = f"imported direction of {emotion}"
    known = directions.metadata
    if directions.d_model != model.d_model:
        raise InputError(
            f"{what} has width {directions.d_model}; model {model.name!r} has {model.d_model}"
        )
    own_type = model.hf_model.config.model_type
    hint = known.get("model_type")
    if hint is None:
        logger.warning("%s does not say for which architecture it is; only its width fits", what)
    elif _plain(hint) != _plain(own_type):
        raise InputError(f"{what} is for a model of type {hint!r}; {model.name!r} is {own_type!r}")
    if known.get("hook_point", HOOK_POINT) != HOOK_POINT:
        raise InputError(f"{what} is for {known['hook_point']!r}; allowed is {HOOK_POINT!r}")
    beyond = [layer for layer in directions.layers if layer >= model.n_layers]
    if beyond:
        raise InputError(
            f"{what} has layer {beyond[0]}; layers of {model.name!r} are 0 to {model.n_layers - 1}"
        )
    for name, own in (("source", model.spec.source), ("emotion", emotion)):
        if known.get(name, own) != own:
            logger.warning("%s: the file was made for %s %r", what, name, known[name])


def _plain(model_type: str) -> str:
    """Return an architecture's name without what transformers and llama.cpp write differently."""
    return re.sub(r"[^a-z0-9]|text$", "", model_type.lower())
