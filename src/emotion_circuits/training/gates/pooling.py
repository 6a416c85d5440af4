"""Mean residual stream of prompts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emotion_circuits.embedded_world.emotions import WORLD_EMOTIONS
from emotion_circuits.geometry import PooledActivations
from emotion_circuits.interventions import capture_residual
from emotion_circuits.language_models import LanguageModel, encode_prompts
from emotion_circuits.prompts import clusters_of


def pool_prompts(
    model: LanguageModel, prompts: pd.DataFrame, split: str = "train"
) -> PooledActivations:
    """Average ``resid_post`` of each layer over each prompt's tokens, without BOS.

    Args:
        model: The language model.
        prompts: Table with ``text``, ``emotion`` and ``pair_id``.
        split: The split, ``train`` or ``test``, that the result assigns to all prompts.
    """
    captured = capture_residual(
        model,
        encode_prompts(model, prompts["text"].tolist()),
        layers=range(model.n_layers),
        hook_points=["resid_post"],
        pooling="mean",
        progress=False,
    )
    return PooledActivations(
        values=captured["resid_post"][:, :, 0].double().numpy(),
        labels=prompts["emotion"].to_numpy(),
        pair_ids=prompts["pair_id"].to_numpy(),
        splits=np.full(len(prompts), split),
        prompts=prompts["text"].to_numpy(),
        layer_indices=tuple(range(model.n_layers)),
        emotions=WORLD_EMOTIONS,
        clusters=clusters_of(prompts).to_numpy(dtype=str),
    )
