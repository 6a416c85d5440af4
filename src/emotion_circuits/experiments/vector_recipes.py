"""Recipes of emotion vectors: from which positions and texts, and by which method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool
from pydantic import Field, NonNegativeInt

from emotion_circuits.errors import InputError
from emotion_circuits.geometry import PooledActivations, pool_positions
from emotion_circuits.geometry.directions import Vectors
from emotion_circuits.geometry.vector_methods import Method, fit_vectors
from emotion_circuits.phase_settings import PhaseSettings
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.prompts.implicit import implicit_texts


class VectorRecipe(PhaseSettings):
    """How vectors are computed from activations."""

    position_strategy: Literal["mean_over_tokens", "last_token", "trigger_token"] = (
        "mean_over_tokens"
    )
    texts: Literal["all", "explicit", "implicit"] = Field(
        "all", description="texts that vectors are computed from, by whether they name emotions"
    )
    method: Method = Field("mean_difference", description="how vectors are computed")
    neutral_components_removed: NonNegativeInt = Field(
        0, description="leading components of neutral texts that vectors are orthogonal to"
    )

    def pool(
        self,
        activations: Mapping[str, Any],
        emotions: EmotionSet,
        *,
        hook_point: str,
        layers: list[int] | None = None,
    ) -> PooledActivations:
        """Reduce phase 2's activations to one vector per prompt and layer, of all texts.

        Args:
            activations: Phase 2's result.
            emotions: The study's emotions.
            hook_point: ``resid_pre`` or ``resid_post``.
            layers: Layers to keep; None for all that were captured.
        """
        return pool_positions(
            activations,
            emotions,
            hook_point=hook_point,
            strategy=self.position_strategy,
            layers=layers,
        )

    def choose_texts(
        self, pooled: PooledActivations, prompts: pd.DataFrame | None, emotions: EmotionSet
    ) -> PooledActivations:
        """Keep the texts that vectors are computed from.

        Args:
            pooled: The result of ``pool``.
            prompts: Phase 1's table; needed unless the vectors are of all texts.
            emotions: The study's emotions.

        Raises:
            InputError: If the table is needed and missing.
        """
        if self.texts == "all":
            return pooled
        if prompts is None:
            raise InputError(f"texts is {self.texts!r}, which needs the table of prompts")
        implicit = is_implicit(pooled, prompts, emotions)
        return pooled.select(implicit if self.texts == "implicit" else ~implicit)

    def fit(self, pooled: PooledActivations) -> Vectors:
        """Compute the vectors of each emotion and layer from the training prompts."""
        return fit_vectors(
            pooled,
            method=self.method,
            neutral_components_removed=self.neutral_components_removed,
        )


def is_implicit(
    pooled: PooledActivations, prompts: pd.DataFrame, emotions: EmotionSet
) -> Bool[np.ndarray, " prompt"]:
    """Return whether each pooled text is of a scenario that names no emotion."""
    implicit = implicit_texts(prompts, emotions).set_axis(prompts["text"])
    chosen: np.ndarray = implicit.reindex(pooled.prompts).to_numpy(dtype=bool)
    return chosen
