"""Phase 2: capture activations."""

from typing import Any

import pandas as pd
import torch

from emotion_circuits.interventions import HOOK_POINTS, capture_residual
from emotion_circuits.language_models import LanguageModel, encode_prompts, resolve_device
from emotion_circuits.layer_choice import layer_numbers
from emotion_circuits.pipelines.activations.settings import ActivationSettings
from emotion_circuits.prompts import CLUSTER, clusters_of, limit_samples


def capture_activations(
    language_model: LanguageModel, prompts: pd.DataFrame, settings: ActivationSettings
) -> dict[str, Any]:
    """Capture the residual stream of all prompts.

    Args:
        language_model: The model to run.
        prompts: Phase 1's table.
        settings: Parameters of phase 2.

    Returns:
        ``model_name``; ``prompts``, ``labels``, ``pair_ids``, ``splits`` and ``clusters`` (see
        ``prompts.clusters_of``), one entry per prompt; ``layer_indices``; ``token_ids``
        ``[prompt, pos]``; ``token_strings`` (without padding); ``attention_mask``,
        ``content_mask`` (without BOS and padding) and ``cue_mask``
        ``[prompt, pos]``; ``resid_pre`` and ``resid_post`` ``[prompt, layer, pos, d_model]`` or
        None; ``metadata``. With ``pooling: mean``, streams have one position, the mean over the
        content, and ``<hook point>_last`` and ``<hook point>_cue`` are added.

    Raises:
        InputError: If a layer does not exist or a prompt cannot be encoded.
    """
    prompts = prompts.assign(**{CLUSTER: clusters_of(prompts).to_numpy()})
    chosen = limit_samples(prompts, settings.max_samples_per_emotion).reset_index(drop=True)
    model = language_model
    if settings.device is not None:
        model = language_model.on(resolve_device(settings.device))
    layers = layer_numbers(settings.layers, model.n_layers)
    encoded = encode_prompts(model, chosen["text"].tolist(), chosen["cue"].tolist())
    streams = capture_residual(
        model,
        encoded,
        layers=layers,
        hook_points=settings.hook_points,
        pooling=settings.pooling,
        batch_size=settings.batch_size,
        dtype=getattr(torch, settings.storage_dtype),
    )
    return {
        "model_name": model.name,
        "prompts": chosen["text"].tolist(),
        "labels": chosen["emotion"].tolist(),
        "pair_ids": chosen["pair_id"].tolist(),
        "splits": chosen["split"].tolist(),
        "clusters": chosen[CLUSTER].tolist(),
        "layer_indices": list(layers),
        "token_ids": encoded.token_ids,
        "token_strings": encoded.token_strings,
        "attention_mask": encoded.attention_mask,
        "content_mask": encoded.content_mask,
        "cue_mask": encoded.cue_mask,
        **dict.fromkeys(HOOK_POINTS),
        **streams,
        "metadata": {
            "source": model.spec.source,
            "revision": model.spec.revision,
            "hook_pos": list(settings.hook_points),
            "dtype": model.spec.dtype,
            "storage_dtype": settings.storage_dtype,
            "device": str(model.device),
            "bos_prepended": model.bos_token_id is not None,
            "pooling": settings.pooling,
            "n_layers": model.n_layers,
            "d_model": model.d_model,
        },
    }
