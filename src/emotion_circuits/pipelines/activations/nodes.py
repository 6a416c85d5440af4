"""Phase 2: capture activations."""

from typing import Any

import pandas as pd
import torch

from emotion_circuits.emotions import LABELS
from emotion_circuits.interventions import HOOK_POINTS, capture_residual
from emotion_circuits.language_models import LanguageModel, encode_prompts, resolve_device
from emotion_circuits.pipelines.activations.settings import ActivationSettings


def capture_activations(
    language_model: LanguageModel, prompts: pd.DataFrame, settings: ActivationSettings
) -> dict[str, Any]:
    """Capture the residual stream of all prompts.

    Args:
        language_model: The model to run.
        prompts: Phase 1's table.
        settings: What to capture.

    Returns:
        ``model_name``; ``prompts``, ``labels``, ``pair_ids`` and ``splits`` (one entry a prompt);
        ``layer_indices``; ``token_ids`` ``[prompt, pos]``; ``token_strings`` (real tokens);
        ``attention_mask``, ``content_mask`` (no BOS, no padding) and ``cue_mask``
        ``[prompt, pos]``; ``resid_pre`` and ``resid_post`` ``[prompt, layer, pos, d_model]`` or
        None; with ``pooling: mean`` these have one position, the mean over the content, and
        ``<hook point>_last`` and ``<hook point>_cue`` stand beside them; ``metadata``.

    Raises:
        InputError: If a layer does not exist or a prompt cannot be encoded.
    """
    chosen = first_of_each_label(prompts, settings.max_samples_per_emotion)
    model = language_model
    if settings.device is not None:
        model = language_model.on(resolve_device(settings.device))
    layers = list(range(model.n_layers)) if settings.layers == "all" else settings.layers
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


def first_of_each_label(prompts: pd.DataFrame, limit: int | None) -> pd.DataFrame:
    """Keep some prompts of each label, texts of one pair together and both splits represented.

    Pairs are taken in the table's order, from the splits in proportion to their size, but at
    least one from each.

    Args:
        prompts: Phase 1's table.
        limit: How many of each label; None for all.

    Returns:
        The chosen rows, in the table's order, with a new index.
    """
    if limit is None:
        return prompts.reset_index(drop=True)
    first = prompts.groupby("pair_id", sort=False).head(1)
    test = min(max(1, round(limit * float((first["split"] == "test").mean()))), max(1, limit - 1))
    place = prompts["pair_id"].map({pair: place for place, pair in enumerate(first["pair_id"])})
    keep: list[int] = []
    for split, share in (("train", limit - test), ("test", test)):
        for label in LABELS:
            rows = place[(prompts["split"] == split) & (prompts["emotion"] == label)]
            keep += rows.sort_values(kind="stable").index[:share].tolist()
    return prompts.loc[sorted(keep)].reset_index(drop=True)
