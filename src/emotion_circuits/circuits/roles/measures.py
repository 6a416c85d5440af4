"""What ablations of heads do to an emotion on its way: to its probes, and to the next token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from emotion_circuits.circuits.emotion_targets import VectorSite, marking_tokens, vector_site
from emotion_circuits.experiments.head_conditions import ablate_heads
from emotion_circuits.experiments.heads import Head
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import Positions, Recording, Row, Site, record_rows
from emotion_circuits.language_models import LanguageModel, encode_prompts
from emotion_circuits.layer_choice import Depth, layer_numbers
from emotion_circuits.prompts import PAIR_HALVES, EmotionSet
from emotion_circuits.prompts.clusters import CLUSTER

MEASURES: Final = ("text", "late_text", "last", "output")
# Heads to ablate on the prompts of each half.
HeadsOfHalf = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class Probes:
    """Where an emotion is read.

    Attributes:
        text: Vectors of a middle layer, read at the text's tokens before the last.
        late_text: Vectors of the last layer that has some, read at the same tokens.
        last: Vectors of a later layer, read at the last position.
        marking: Tokens that mark each emotion, read in the logits at the last position.
    """

    text: VectorSite
    late_text: VectorSite
    last: VectorSite
    marking: dict[str, Int[Tensor, " token"]]

    @classmethod
    def of(
        cls,
        model: LanguageModel,
        emotion_vectors: dict[str, Any],
        emotions: EmotionSet,
        *,
        text_layer: int | Depth = 0.5,
        last_layer: int | Depth = 0.75,
    ) -> Probes:
        """Take the vectors of two layers, and the tokens that begin the emotions' words.

        Args:
            model: The model.
            emotion_vectors: Phase 3's vectors.
            emotions: The study's emotions.
            text_layer: Number or relative depth of the layer whose probe detection raises.
            last_layer: The same for the layer at which the last position holds the emotion.

        Raises:
            InputError: If a layer has no vectors, or an emotion no token of its own.
        """
        text, last = (
            vector_site(emotion_vectors, layer_numbers([layer], model.n_layers)[0])
            for layer in (text_layer, last_layer)
        )
        late_text = vector_site(emotion_vectors, None)
        return cls(text, late_text, last, marking_tokens(model, emotions))


class Measures(NamedTuple):
    """Measures of every emotion on every prompt, under each ablation.

    Attributes:
        text: Component along the emotion's unit vector after the middle layer, averaged over the
            text's tokens but the last; NaN for a text of one token.
        late_text: The same after the last layer that has vectors.
        last: Component along the emotion's unit vector after the later layer, at the last position.
        output: Mean logit of the tokens that mark the emotion, minus the mean over all tokens, at
            the last position.
    """

    text: Float[np.ndarray, "set prompt emotion"]
    late_text: Float[np.ndarray, "set prompt emotion"]
    last: Float[np.ndarray, "set prompt emotion"]
    output: Float[np.ndarray, "set prompt emotion"]


def read_measures(
    prompts: PairedPrompts,
    probes: Probes,
    sets: Sequence[HeadsOfHalf],
    values: Mapping[str, Float[Tensor, "layer head d_head"]],
    *,
    positions: Positions | None = None,
) -> Measures:
    """Run every prompt under the ablation of every set of heads.

    Args:
        prompts: The prompts.
        probes: Where the emotions are read.
        sets: Heads to ablate together, for each half; an empty set is no ablation.
        values: Replacements of heads' outputs on each half, such as means over the other half.
        positions: Positions at which heads are ablated; None for all.
    """
    rows, cells = [], []
    for number, of_half in enumerate(sets):
        conditions = {
            half: ablate_heads(f"set {number}", of_half[half], values[half], positions=positions)
            for half in PAIR_HALVES
        }
        for index, (ids, half) in enumerate(zip(prompts.ids, prompts.halves, strict=True)):
            rows.append(Row(ids, conditions[half]))
            cells.append((number, index))
    shape = (len(sets), len(prompts.ids), len(prompts.emotions.names))
    measures = Measures(*(np.full(shape, np.nan) for _ in MEASURES))
    inner = _text_before_last(prompts)
    read_at = (probes.text, probes.late_text, probes.last)
    sites = [Site("resid_post", site.layer) for site in read_at]
    for indices, recorded in record_rows(prompts.model, rows, list(dict.fromkeys(sites))):
        numbers, owners = (list(part) for part in zip(*(cells[i] for i in indices), strict=True))
        read = _read(recorded, probes, inner[owners], prompts.emotions.names)
        for whole, part in zip(measures, read, strict=True):
            whole[numbers, owners] = part.double().numpy()
    return measures


def _read(
    recorded: Recording, probes: Probes, inner: Bool[Tensor, "row pos"], emotions: Sequence[str]
) -> tuple[Float[Tensor, "row emotion"], ...]:
    mask = inner[..., None].float()

    def over_text(site: VectorSite) -> Float[Tensor, "row emotion"]:
        stream = recorded.activations[Site("resid_post", site.layer)]
        here = mask[:, : stream.shape[1]]
        mean = (stream * here).sum(1) / here.sum(1)  # 0 / 0 is NaN: there is no such token
        along: Tensor = mean @ _units(site, emotions).T
        return along

    last = recorded.activations[Site("resid_post", probes.last.layer)][:, -1]
    logits = recorded.logits.float().cpu()
    marked = torch.stack([logits[:, probes.marking[name]].mean(1) for name in emotions], dim=1)
    return (
        over_text(probes.text),
        over_text(probes.late_text),
        last @ _units(probes.last, emotions).T,
        marked - logits.mean(1, keepdim=True),
    )


def _units(site: VectorSite, emotions: Sequence[str]) -> Float[Tensor, "emotion d_model"]:
    vectors = torch.stack([site.vectors[name] for name in emotions])
    units: Tensor = vectors / vectors.norm(dim=1, keepdim=True)
    return units


def _text_before_last(prompts: PairedPrompts) -> Bool[Tensor, "prompt pos"]:
    encoded = encode_prompts(prompts.model, prompts.table["text"].tolist())
    inner = encoded.content_mask.clone()
    inner[torch.arange(len(inner)), encoded.lengths - 1] = False
    return inner


class Pairs(NamedTuple):
    """The pairs of all emotions, one after the other.

    Attributes:
        emotional: Index of each pair's emotional prompt.
        neutral: Index of its neutral prompt.
        emotion: Number of its emotion.
        clusters: Name of its template (see ``prompts.clusters_of``): the unit of tests and splits.
        halves: Its half.
    """

    emotional: Int[np.ndarray, " pair"]
    neutral: Int[np.ndarray, " pair"]
    emotion: Int[np.ndarray, " pair"]
    clusters: np.ndarray
    halves: np.ndarray

    @classmethod
    def of(cls, prompts: PairedPrompts) -> Pairs:
        """List the pairs of prompts."""
        listed = [
            (emotional, neutral, number)
            for number, name in enumerate(prompts.emotions.names)
            for emotional, neutral in prompts.pairs(name)
        ]
        emotional, neutral, emotion = np.array(listed, dtype=int).reshape(-1, 3).T
        names = prompts.table[[CLUSTER, "half"]].astype(str).to_numpy()[emotional]
        return cls(emotional, neutral, emotion, *names.T)

    def contrast(
        self, values: Float[np.ndarray, "*set prompt emotion"]
    ) -> Float[np.ndarray, "*set pair"]:
        """Return the emotional prompt's value of the pair's emotion minus the neutral prompt's."""
        contrast: np.ndarray = (
            values[..., self.emotional, self.emotion] - values[..., self.neutral, self.emotion]
        )
        return contrast


def every_head(model: LanguageModel) -> list[Head]:
    """List the heads of a model, layer by layer."""
    return [Head(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
