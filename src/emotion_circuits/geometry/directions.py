"""Emotion vectors: mean activation of an emotion's prompts minus that of neutral prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.prompts import EmotionSet

# Each strategy's mask, and the suffix of its stored mean if means were captured.
_STRATEGIES: Final = {
    "mean_over_tokens": ("content_mask", ""),
    "last_token": ("content_mask", "_last"),
    "trigger_token": ("cue_mask", "_cue"),
}
# For each emotion its vector at each layer.
Vectors = dict[str, Float[np.ndarray, "layer d_model"]]
POSITION_STRATEGIES: Final = tuple(_STRATEGIES)


@dataclass(frozen=True)
class PooledActivations:
    """One vector per prompt and layer.

    Attributes:
        values: The vectors in the model's units, float64.
        labels: Label of each prompt.
        pair_ids: Scenario of each prompt.
        splits: ``train`` or ``test`` for each prompt.
        prompts: The texts.
        layer_indices: Layer numbers of the second axis.
        emotions: The study's emotions and neutral class.
        clusters: Cluster of each prompt (see ``prompts.clusters_of``); None: its scenario.
    """

    values: Float[np.ndarray, "prompt layer d_model"]
    labels: np.ndarray
    pair_ids: np.ndarray
    splits: np.ndarray
    prompts: np.ndarray
    layer_indices: tuple[int, ...]
    emotions: EmotionSet
    clusters: np.ndarray | None = None

    def clusters_at(self, indices: np.ndarray) -> np.ndarray:
        """Return the clusters of some prompts."""
        known = self.pair_ids if self.clusters is None else self.clusters
        names: np.ndarray = known[indices].astype(str)
        return names

    def rows(self, label: str, split: str) -> np.ndarray:
        """Return the indices of the prompts of one label and split."""
        return np.flatnonzero((self.labels == label) & (self.splits == split))

    def select(self, chosen: np.ndarray) -> PooledActivations:
        """Return some of the prompts.

        Args:
            chosen: Their indices, or whether each is chosen.
        """
        names = ("values", "labels", "pair_ids", "splits", "prompts")
        clusters = None if self.clusters is None else self.clusters[chosen]
        per_prompt = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, **per_prompt, clusters=clusters)


def pool_positions(
    activations: Mapping[str, Any],
    emotions: EmotionSet,
    *,
    hook_point: str = "resid_post",
    strategy: str = "mean_over_tokens",
    layers: list[int] | None = None,
) -> PooledActivations:
    """Reduce captured activations to one vector per prompt and layer.

    ``mean_over_tokens`` averages over the text's tokens without padding and BOS. BOS is an
    attention sink of huge norm, whose share in the mean depends on the prompt's length and would
    not cancel. ``last_token`` takes the last token; ``trigger_token`` averages over the tokens of
    the cue, the words from which the emotion follows.

    Args:
        activations: Phase 2's result.
        emotions: The study's emotions.
        hook_point: ``resid_pre`` or ``resid_post``.
        strategy: One of ``POSITION_STRATEGIES``.
        layers: Layers to keep; None for all captured layers.

    Returns:
        The pooled activations.

    Raises:
        InputError: If the strategy, hook point or a layer does not exist, or if a prompt has no
            cue for ``trigger_token``.
    """
    if strategy not in _STRATEGIES:
        raise unknown_name("position_strategy", strategy, POSITION_STRATEGIES)
    captured = activations["metadata"]["hook_pos"]
    if hook_point not in captured:
        raise unknown_name("hook point", hook_point, captured, where="the captured activations")
    kept = activations["layer_indices"] if layers is None else layers
    for layer in kept:
        if layer not in activations["layer_indices"]:
            raise unknown_name(
                "layer", layer, activations["layer_indices"], where="the captured activations"
            )
    indices = [activations["layer_indices"].index(layer) for layer in kept]
    if strategy == "trigger_token":
        _check_triggers(activations)
    return PooledActivations(
        values=_pool(activations, hook_point, strategy)[:, indices],
        labels=np.array(activations["labels"]),
        pair_ids=np.array(activations["pair_ids"]),
        splits=np.array(activations["splits"]),
        prompts=np.array(activations["prompts"], dtype=object),
        layer_indices=tuple(kept),
        emotions=emotions,
        clusters=np.array(activations["clusters"]) if "clusters" in activations else None,
    )


def _pool(activations: Mapping[str, Any], hook_point: str, strategy: str) -> np.ndarray:
    mask_name, suffix = _STRATEGIES[strategy]
    if activations["metadata"]["pooling"] == "mean":
        stored: Tensor = activations[f"{hook_point}{suffix}"]
        return stored[:, :, 0].double().numpy()
    stream: Tensor = activations[hook_point]
    mask = activations[mask_name]
    # Prompt by prompt, since a copy of all activations in float64 would need twice their memory.
    means = []
    for prompt in range(len(stream)):
        positions = mask[prompt].nonzero().flatten()
        if suffix == "_last":
            positions = positions[-1:]
        means.append(stream[prompt][:, positions].double().mean(dim=1).numpy())
    return np.stack(means)


def _check_triggers(activations: Mapping[str, Any]) -> None:
    without = [
        text
        for text, mask in zip(activations["prompts"], activations["cue_mask"], strict=True)
        if not bool(mask.any())
    ]
    if without:
        raise InputError(
            f"position_strategy trigger_token needs a cue in every prompt; {len(without)} of "
            f"{len(activations['prompts'])} have none, the first is {without[0][:60]!r}"
        )


def emotion_vectors(
    pooled: PooledActivations, split: str = "train"
) -> dict[str, Float[np.ndarray, "layer d_model"]]:
    """Subtract the mean neutral activation from each emotion's mean.

    All prompts have the same weight, whatever their number of tokens.

    Args:
        pooled: One vector per prompt and layer.
        split: Split of the prompts to use.

    Returns:
        For each emotion, in the study's order, its vector at each layer.

    Raises:
        InputError: If an emotion, or neutral, has no prompt in the split.

    Source: difference-in-means directions, Marks and Tegmark 2023, arXiv:2310.06824; as steering
    vectors, Rimsky et al. 2023, arXiv:2312.06681.
    """
    means = {}
    for label in pooled.emotions.labels:
        indices = pooled.rows(label, split)
        if not len(indices):
            raise InputError(f"label {label!r} has no prompts in split {split!r}")
        means[label] = pooled.values[indices].mean(axis=0)
    neutral = means[pooled.emotions.neutral]
    return {emotion: means[emotion] - neutral for emotion in pooled.emotions.names}
