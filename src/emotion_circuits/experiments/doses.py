"""Doses of steering: how large what is added is, and which prompts move against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.experiments.effects import SHARE_COLUMNS
from emotion_circuits.experiments.outcomes import metric_name
from emotion_circuits.experiments.steering import Steering
from emotion_circuits.interventions import Site, length_batches, planned, record
from emotion_circuits.language_models import LanguageModel


@torch.no_grad()
def residual_norms(
    model: LanguageModel,
    prompts: Sequence[str],
    continuations: Sequence[Sequence[int]],
    steering: Steering,
    layers: Sequence[int],
    *,
    batch_size: int = 64,
) -> dict[int, float]:
    """Measure the length of the residual stream where steering acts, in the unsteered model.

    A prompt's length is the mean of ‖h‖ over the positions that steering patches: with cumulative
    steering, the prompt's last token and all generated tokens that the model reads.

    Args:
        model: The model.
        prompts: Texts.
        continuations: Each prompt's unsteered continuation, as token ids.
        steering: Which positions are patched at which hook point.
        layers: Layers to measure.
        batch_size: Prompts per forward pass; affects speed and memory, and results only by
            rounding.

    Returns:
        By layer, the median over prompts, in the model's own units.
    """
    encoded = [tuple(model.encode(prompt)) for prompt in prompts]
    # The token of the last step is written and never read.
    read = [ids + tuple(said[:-1]) for ids, said in zip(encoded, continuations, strict=True)]
    patched = [
        _patched_positions(steering, len(ids), max(1, len(said)))
        for ids, said in zip(encoded, continuations, strict=True)
    ]
    sites = [Site(steering.hook_point, layer) for layer in layers]
    means = np.zeros((len(prompts), len(layers)))
    for indices, ids in length_batches(model, read, batch_size):
        lengths = record(model, ids, sites, keep=_lengths, logits=False).activations
        for column, site in enumerate(sites):
            for row, index in enumerate(indices):
                means[index, column] = lengths[site][row, patched[index]].mean()
    return dict(zip(layers, np.median(means, axis=0).tolist(), strict=True))


def _lengths(stream: Float[Tensor, "row pos d_model"]) -> Float[np.ndarray, "row pos"]:
    lengths: np.ndarray = stream.double().norm(dim=-1).cpu().numpy()
    return lengths


def _patched_positions(steering: Steering, n_prompt: int, n_steps: int) -> np.ndarray:
    """Return the positions that are patched at some step."""
    ((condition, _),) = steering.conditions("", "", 0, [np.ones(1)], [1.0])
    at_steps = planned(condition, n_prompt=n_prompt, n_steps=n_steps)
    patched = np.flatnonzero(at_steps.any(axis=(0, 1)))
    # A list of strengths may hold zeros alone, and then nothing is patched anywhere.
    return patched if len(patched) else np.array([n_prompt - 1])


class Doses(NamedTuple):
    """What steering adds, to be compared with the residual stream.

    Attributes:
        vector_norms: Length of what is added at α = 1, by emotion and layer.
        residual_norms: Median length of the residual stream there, by layer.
        removed: Whether the operator removes the direction. It then takes away the stream's own
            part along the direction, and α·‖v‖ is no dose.
    """

    vector_norms: Mapping[str, Mapping[int, float]]
    residual_norms: Mapping[int, float]
    removed: bool

    @classmethod
    def of(cls, residual_sweep: Mapping[str, Any], *, removed: bool) -> Doses:
        """Read the lengths from a sweep, as far as it has them."""
        vectors, stream = (
            residual_sweep.get(name) or {} for name in ("vector_norms", "residual_norms")
        )
        return cls(vectors, {} if removed else stream, removed)

    def beside(self, table: pd.DataFrame, targets: Mapping[str, str]) -> pd.DataFrame:
        """Add to each effect its relative dose, and the share of prompts that move the wrong way.

        Args:
            table: Lines of ``effect_table``, with ``emotion``, ``layer`` and ``alpha``.
            targets: ``metric/label`` by emotion.

        Returns:
            All lines, with ``relative_dose`` and, in lines of the emotion's target metric,
            ``share_wrong_way``, in place of the shares of ``effect_table``.
        """
        doses = relative_doses(table, self.vector_norms, self.residual_norms)
        shares = wrong_way_shares(table, own_metric(table, targets), removed=self.removed)
        return table.assign(relative_dose=doses, share_wrong_way=shares).drop(
            columns=list(SHARE_COLUMNS)
        )


def own_metric(table: pd.DataFrame, targets: Mapping[str, str]) -> pd.Series:
    """Return the target metric of each line's emotion, as ``metric.label``."""
    return table["emotion"].map({emotion: metric_name(key) for emotion, key in targets.items()})


def relative_doses(
    table: pd.DataFrame,
    vector_norms: Mapping[str, Mapping[int, float]],
    norms: Mapping[int, float],
) -> pd.Series:
    """Return ‖αv‖ / ‖h‖ of each line: the length of what is added over the residual stream's.

    Args:
        table: Lines with ``emotion``, ``layer`` and ``alpha``.
        vector_norms: Length of what is added at α = 1, by emotion and layer.
        norms: The result of ``residual_norms``; layers that it lacks have no dose.

    Returns:
        The doses, without unit; NaN for lines without a layer or α. With a schedule, α is that of
        the condition and not that of a step.
    """
    places = zip(table["emotion"], table["layer"], table["alpha"], strict=True)
    doses = [
        abs(float(alpha)) * vector_norms[emotion][int(layer)] / norms[int(layer)]
        if pd.notna(layer) and pd.notna(alpha) and int(layer) in norms
        else np.nan
        for emotion, layer, alpha in places
    ]
    return pd.Series(doses, index=table.index, dtype=float)


def wrong_way_shares(table: pd.DataFrame, own_metric: pd.Series, *, removed: bool) -> pd.Series:
    """Return the share of prompts whose target score moves against the intended direction.

    Steering with a positive α is to raise the target score, with a negative one to lower it; an
    operator that removes the direction does the opposite. A mean effect may hide prompts that
    move the wrong way.

    Args:
        table: Lines with ``alpha``, ``metric_name`` and the shares of ``effect_table``.
        own_metric: For each line, the ``metric.label`` of the target score.
        removed: Whether the operator removes the direction.

    Returns:
        The shares; NaN for other scores, for α = 0 and for lines without α.

    Source: anti-steerable inputs, Tan et al. 2024, arXiv:2407.12404.
    """
    intended = np.sign(table["alpha"].astype(float)) * (-1 if removed else 1)
    falls, rises = (table[name].astype(float) for name in SHARE_COLUMNS)
    shares = falls.where(intended > 0, rises.where(intended < 0))
    return shares.where(table["metric_name"] == own_metric)
