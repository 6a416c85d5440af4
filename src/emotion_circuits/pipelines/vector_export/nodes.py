"""Export of emotion vectors as files that other tools read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.direction_files import Directions
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.experiments.choice import HEADLINE
from emotion_circuits.experiments.directions import vectors_at
from emotion_circuits.experiments.imported_directions import HOOK_POINT
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.language_models.fingerprint import weights_digest
from emotion_circuits.node_marks import takes_what_is_there
from emotion_circuits.pipelines.vector_export.settings import VectorExportSettings
from emotion_circuits.prompts import EmotionSet

logger = logging.getLogger(__name__)

_LAYERS: Final = "layer_<n> is added to the output of block n, counted from 0"
_UNITS: Final = {
    "raw": "units of the model's activations; the method's vector, as it is, at strength 1",
    "unit": "length 1 at each layer",
}
_RECIPE: Final = ("method", "position_strategy", "texts", "neutral_components_removed")
COLUMNS: Final = ("emotion", "layer", "alpha", "length", "raw_length", "formats")


@takes_what_is_there
def choose_layers(
    emotions: EmotionSet,
    settings: VectorExportSettings,
    residual_selection: pd.DataFrame | None,
) -> dict[str, dict[str, Any]]:
    """Decide which layers of each emotion are exported.

    Args:
        emotions: The study's emotions.
        settings: Parameters of the export.
        residual_selection: Phase 5's choices; None if there is no such result.

    Returns:
        By emotion, ``layers`` (a list, or ``all``), and ``alpha``: the strength that phase 5 chose
        there, None if layers are not its choice.

    Raises:
        InputError: If an emotion is not one of the study's.
    """
    wanted = emotions.names if settings.emotions == "all" else settings.emotions
    for emotion in wanted:
        if emotion not in emotions.names:
            raise unknown_name("emotion", emotion, emotions.names, where="the study")
    if settings.layers != "chosen":
        return {emotion: {"layers": settings.layers, "alpha": None} for emotion in wanted}
    chosen = _headline(residual_selection)
    missing = [emotion for emotion in wanted if emotion not in chosen]
    if missing:
        logger.info(
            "Phase 5 has chosen no layer for %s; all layers are exported", ", ".join(missing)
        )
    return {emotion: chosen.get(emotion, {"layers": "all", "alpha": None}) for emotion in wanted}


def _headline(selection: pd.DataFrame | None) -> dict[str, dict[str, Any]]:
    if selection is None:
        return {}
    lines = selection[selection["choice"] == HEADLINE]
    return {
        str(line["emotion"]): {"layers": [int(line["layer"])], "alpha": float(line["alpha"])}
        for line in lines.to_dict("records")
    }


def export_vectors(
    language_model: LanguageModel,
    emotion_vectors: Mapping[str, Any],
    exported_layers: Mapping[str, Mapping[str, Any]],
    emotions: EmotionSet,
    settings: VectorExportSettings,
) -> tuple[dict[str, Directions], pd.DataFrame]:
    """Collect the vectors of each emotion with what is known of them.

    Args:
        language_model: The model that the vectors were measured in.
        emotion_vectors: Phase 3's result.
        exported_layers: The result of ``choose_layers``.
        emotions: The study's emotions.
        settings: Parameters of the export.

    Returns:
        Directions by ``<emotion>.<format>``, and a table with ``COLUMNS`` and ``model_name``: a
        line per emotion and layer. ``length`` is that of the exported vector, ``raw_length`` that
        of phase 3's. Layer 0 is left out of GGUF, which has no place for it.

    Raises:
        InputError: If a layer has no vector, the vectors are not of ``resid_post``, or a vector is
            zero.
    """
    shared = _describe(language_model, emotion_vectors, emotions, settings)
    files: dict[str, Directions] = {}
    lines = []
    for emotion, choice in exported_layers.items():
        raw = {
            layer: vector
            for (name, layer), vector in vectors_at(
                emotion_vectors, choice["layers"], HOOK_POINT
            ).items()
            if name == emotion
        }
        scaled = {layer: _scale(vector, emotion, layer, settings) for layer, vector in raw.items()}
        metadata = shared | {"emotion": emotion}
        if choice["alpha"] is not None:
            metadata["alpha"] = f"{choice['alpha']:g}"
        for kind in settings.formats:
            kept = {layer: scaled[layer] for layer in _layers_in(kind, scaled)}
            if kept:
                files[f"{emotion}.{kind}"] = Directions(kept, metadata)
        lines += [
            {
                "emotion": emotion,
                "layer": layer,
                "alpha": choice["alpha"],
                "length": float(np.linalg.norm(vector)),
                "raw_length": float(np.linalg.norm(raw[layer])),
                "formats": " ".join(
                    kind for kind in settings.formats if layer in _layers_in(kind, scaled)
                ),
            }
            for layer, vector in scaled.items()
        ]
    table = pd.DataFrame(lines, columns=list(COLUMNS))
    left_out = table.loc[(table["layer"] == 0) & ("gguf" in settings.formats), "emotion"]
    if len(left_out):
        logger.warning(
            "GGUF has no place for layer 0, which it leaves out for %s of %s",
            ", ".join(left_out),
            language_model.name,
        )
    table.insert(0, "model_name", language_model.name)
    return files, table


def _layers_in(kind: str, by_layer: Mapping[int, np.ndarray]) -> list[int]:
    return [layer for layer in by_layer if layer > 0 or kind != "gguf"]


def _scale(
    vector: np.ndarray, emotion: str, layer: int, settings: VectorExportSettings
) -> np.ndarray:
    length = np.linalg.norm(vector.astype(np.float64))
    if not length:
        raise InputError(f"the vector of {emotion} at layer {layer} is zero; leave the layer out")
    scaled: np.ndarray = vector if settings.scale == "raw" else vector / length
    return scaled.astype(np.float32)


def _describe(
    model: LanguageModel,
    emotion_vectors: Mapping[str, Any],
    emotions: EmotionSet,
    settings: VectorExportSettings,
) -> dict[str, str]:
    """Return what all files of a model say."""
    measured = emotion_vectors["metadata"]
    known = {
        "model": model.name,
        "source": model.spec.source,
        "revision": model.spec.revision,
        "model_type": model.hf_model.config.model_type,
        "dtype": model.spec.dtype,
        "weights_sha256": weights_digest(model),
        "n_layers": model.n_layers,
        "d_model": model.d_model,
        "hook_point": HOOK_POINT,
        "layer_convention": _LAYERS,
        "neutral": emotions.neutral,
        **{name: measured.get(name) for name in _RECIPE},  # older files lack some
        "scale": settings.scale,
        "units": _UNITS[settings.scale],
        "package": f"emotion-circuits {version('emotion-circuits')}",
    }
    return {name: str(value) for name, value in known.items() if value is not None}
