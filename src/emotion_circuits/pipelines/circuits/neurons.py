"""The neurons of chosen MLPs that account for each emotion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.circuits.discovery.emotion_discovery import target_layer, target_of
from emotion_circuits.circuits.discovery.settings import CircuitSettings
from emotion_circuits.circuits.emotion_targets import marking_tokens, vector_site
from emotion_circuits.circuits.neurons import attribute_neurons
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.prompts import PAIR_HALVES, EmotionSet
from emotion_circuits.statistics.ratios import mean_interval

_COLUMNS: Final = (
    *("emotion", "mlp", "neuron", "score", "ci_lower", "ci_upper", "score_A", "score_B"),
    *("rank", "mlp_score"),
)


@needs_emotions("marking_words")
def score_neurons(
    language_model: LanguageModel,
    prompts: pd.DataFrame,
    emotion_vectors: dict[str, Any],
    emotions: EmotionSet,
    settings: CircuitSettings,
    circuit: dict[str, Any],
) -> pd.DataFrame:
    """Score the neurons of the MLPs that ``settings.neurons`` names, on all pairs.

    Args:
        language_model: The model.
        prompts: Phase 1's table.
        emotion_vectors: Phase 3's vectors, which the target ``projection`` reads.
        emotions: The study's emotions.
        settings: Parameters of circuit discovery.
        circuit: The result of ``find_circuits``, for the MLPs in each emotion's circuit.

    Returns:
        One line per emotion and neuron, the largest of each MLP: ``mlp``, ``neuron``, ``score`` in
        nats with its 95 % interval over templates, ``score_A`` and ``score_B`` (the halves),
        ``rank`` by absolute score within the MLP, and ``mlp_score``, the sum over all its neurons.
        No line if no neurons are asked for.

    Raises:
        InputError: If the model has no such layer, or as for ``find_circuits``.
    """
    tables = [pd.DataFrame(columns=list(_COLUMNS))]
    if settings.neurons is not None:
        paired = PairedPrompts.prepare(
            settings.placed(language_model),
            prompts,
            emotions,
            split=settings.split,
            limit=settings.max_samples_per_emotion,
        )
        for emotion in emotions.names:
            mlps = _chosen(settings, circuit["circuits"][emotion])
            if mlps:
                tables.append(_of_emotion(paired, emotion_vectors, emotion, mlps, settings))
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _chosen(settings: CircuitSettings, found: dict[str, Any]) -> list[int]:
    """Return the layers of the MLPs to score, in order."""
    if settings.neurons == "in_circuit":
        names = [str(line["node"]) for line in found["nodes"]]
        return sorted(int(name[1:]) for name in names if name.startswith("m"))
    return sorted(set(settings.neurons or ()))


def _of_emotion(
    paired: PairedPrompts,
    emotion_vectors: dict[str, Any],
    emotion: str,
    mlps: Sequence[int],
    settings: CircuitSettings,
) -> pd.DataFrame:
    model, pairs = paired.model, paired.pairs(emotion)
    tokens = marking_tokens(model, paired.emotions)[emotion]
    site = vector_site(emotion_vectors, settings.vector_layer)
    scores = attribute_neurons(
        model,
        [paired.ids[emotional] for emotional, _ in pairs],
        [paired.ids[neutral] for _, neutral in pairs],
        target_of(settings, tokens, site.vectors[emotion]),
        layer=target_layer(settings, model, site),
        mlps=mlps,
        steps=settings.steps,
        batch_size=settings.batch_size,
        variant=settings.variant,
    )
    halves = np.array([paired.halves[emotional] for emotional, _ in pairs])
    clusters = [str(paired.table["cluster"].iloc[emotional]) for emotional, _ in pairs]
    of_mlps = []
    for place, layer in enumerate(mlps):
        table = _table(scores[:, place].double().numpy(), halves, clusters, settings)
        table.insert(0, "mlp", f"m{layer}")
        of_mlps.append(table)
    found = pd.concat(of_mlps, ignore_index=True)
    found.insert(0, "emotion", emotion)
    return found


def _table(
    scores: Float[np.ndarray, "pair neuron"],
    halves: np.ndarray,
    clusters: Sequence[str],
    settings: CircuitSettings,
) -> pd.DataFrame:
    """List the neurons of one MLP with the largest scores."""
    means = scores.mean(0)
    listed = np.argsort(-np.abs(means), kind="stable")[: settings.max_neurons]
    value, lower, upper = mean_interval(
        scores[:, listed].T,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
        clusters=clusters,
    )
    return pd.DataFrame(
        {
            "neuron": listed,
            "score": value,
            "ci_lower": lower,
            "ci_upper": upper,
            **{f"score_{half}": scores[halves == half][:, listed].mean(0) for half in PAIR_HALVES},
            "rank": np.arange(1, len(listed) + 1),
            "mlp_score": means.sum(),
        }
    )
