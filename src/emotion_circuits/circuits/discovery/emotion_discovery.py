"""One emotion's pairs: scores of nodes and edges, and circuits found on some of the pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits import (
    EdgeScores,
    attribute_pairs,
    log_odds_target,
    projection_target,
)
from emotion_circuits.circuits.attribution import Target
from emotion_circuits.circuits.circuit import flat_scores, pruned, ranked, smallest_circuit
from emotion_circuits.circuits.discovery.settings import CircuitSettings
from emotion_circuits.circuits.emotion_targets import VectorSite, marking_tokens, vector_site
from emotion_circuits.circuits.faithfulness import Verifier
from emotion_circuits.circuits.nodes import Node
from emotion_circuits.circuits.replacements import (
    Prompts,
    inner_nodes,
    mean_ablated,
    resampled,
)
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.prompts import PAIR_HALVES


@dataclass(frozen=True)
class Discovery:
    """The scores of one emotion's pairs, and the runs that verify circuits.

    Attributes:
        emotion: The emotion.
        nodes: Heads and MLPs in the order of computation.
        halves: Half of each pair.
        clusters: Cluster of each pair.
        partners: Token ids of each pair's neutral prompt.
        scores: Scores of ``nodes`` on each pair.
        attribution: Scores of all edges and nodes on each pair.
        verifier: Runs circuits on the pairs.
        settings: Parameters of the phase.
    """

    emotion: str
    nodes: list[Node]
    halves: np.ndarray
    clusters: list[str]
    partners: list[tuple[int, ...]]
    scores: Float[np.ndarray, "pair node"]
    attribution: EdgeScores
    verifier: Verifier
    settings: CircuitSettings

    def of_half(self, half: str) -> list[int]:
        """Return the indices of the pairs of a half."""
        chosen: list[int] = np.flatnonzero(self.halves == half).tolist()
        return chosen

    def order(self, pairs: Sequence[int], signs: np.ndarray | None = None) -> list[Node]:
        """Rank nodes by their mean score over pairs, each with a sign if ``signs`` is given."""
        scores = self.scores[list(pairs)]
        if signs is not None:
            scores = scores * signs[list(pairs), None]
        return ranked(self.nodes, scores.mean(0), self.settings.order)

    def circuit(self, pairs: Sequence[int], order: Sequence[Node] | None = None) -> list[Node]:
        """Find the smallest circuit that meets the criterion on some pairs."""
        criterion = self.settings.criterion()
        found = smallest_circuit(
            self.verifier, self.order(pairs) if order is None else order, pairs, criterion
        )
        return pruned(self.verifier, found, pairs, criterion) if self.settings.prune else found

    def circuits_of_halves(self) -> dict[str, list[Node]]:
        """Find a circuit on each half of the pairs."""
        return {half: self.circuit(self.of_half(half)) for half in PAIR_HALVES}


def discover(
    prompts: PairedPrompts,
    emotion_vectors: dict[str, Any],
    settings: CircuitSettings,
) -> list[Discovery]:
    """Score every edge and node on each emotion's pairs.

    Raises:
        InputError: If the vectors lack the layer, or an emotion has no tokens of its own.
    """
    marking = marking_tokens(prompts.model, prompts.emotions)
    site = vector_site(emotion_vectors, settings.vector_layer)
    return [
        _discover(prompts, emotion, marking[emotion], site, settings)
        for emotion in prompts.emotions.names
    ]


def _discover(
    prompts: PairedPrompts,
    emotion: str,
    tokens: Tensor,
    site: VectorSite,
    settings: CircuitSettings,
) -> Discovery:
    model, pairs = prompts.model, prompts.pairs(emotion)
    clean = [prompts.ids[emotional] for emotional, _ in pairs]
    partners = [prompts.ids[neutral] for _, neutral in pairs]
    halves = np.array([prompts.halves[emotional] for emotional, _ in pairs])
    clusters = [str(prompts.table["cluster"].iloc[emotional]) for emotional, _ in pairs]

    attribution = attribute_pairs(
        model,
        clean,
        partners,
        target_of(settings, tokens, site.vectors[emotion]),
        layer=target_layer(settings, model, site),
        steps=settings.steps,
        batch_size=settings.batch_size,
        variant=settings.variant,
    )
    replace = {"resample": resampled, "mean": mean_ablated}[settings.ablation]
    replacements = by_half(replace, model, clean, partners, halves, settings.ablation)
    return Discovery(
        emotion,
        inner_nodes(model),
        halves,
        clusters,
        partners,
        flat_scores(attribution.nodes),
        attribution,
        Verifier(model, clean, replacements, [tokens], [0] * len(clean)),
        settings,
    )


def target_of(
    settings: CircuitSettings, tokens: Tensor, vector: Tensor
) -> Callable[[list[int]], Target]:
    """Return a function that makes the target of some of an emotion's pairs.

    Args:
        settings: Parameters of the phase, which say what scores attribute.
        tokens: The emotion's tokens.
        vector: The emotion's vector.
    """

    def make(chosen: list[int]) -> Target:
        if settings.target == "log_odds":
            return log_odds_target([tokens] * len(chosen))
        return projection_target(torch.stack([vector] * len(chosen)))

    return make


def target_layer(settings: CircuitSettings, model: LanguageModel, site: VectorSite) -> int:
    """Return the layer after which the target reads the stream."""
    return model.n_layers - 1 if settings.target == "log_odds" else site.layer


Made = TypeVar("Made")


def by_half(
    make: Callable[[LanguageModel, Prompts, Prompts], list[Made]],
    model: LanguageModel,
    clean: Prompts,
    partners: Prompts,
    halves: np.ndarray,
    ablation: Literal["resample", "mean"],
) -> list[Made]:
    """Make what replaces nodes on each pair: from its partner, or from the other half's prompts.

    Args:
        make: Function of prompts and of what to replace them by, such as ``resampled``.
        model: The model.
        clean: Clean prompts of all pairs.
        partners: Their partners.
        halves: Half of each pair.
        ablation: ``resample`` takes each pair's partner; ``mean`` all prompts of the other half.
    """
    if ablation == "resample":
        return make(model, clean, partners)
    made: dict[int, Made] = {}
    for half in PAIR_HALVES:
        own = np.flatnonzero(halves == half).tolist()
        others = [index for index in range(len(clean)) if halves[index] != half]
        averaged = [*(clean[i] for i in others), *(partners[i] for i in others)]
        made |= zip(own, make(model, [clean[i] for i in own], averaged), strict=True)
    return [made[index] for index in range(len(clean))]
