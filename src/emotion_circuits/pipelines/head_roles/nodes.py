"""``<model>_heads.csv``: what each head reads and writes, and its role."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from emotion_circuits.circuits.roles import (
    Probes,
    alignment_table,
    dissociation,
    dissociation_table,
    read_roles,
    role_stability,
    roles_of_halves,
)
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.language_models import LanguageModel, resolve_device
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.pipelines.head_roles.settings import HeadRolesSettings
from emotion_circuits.pipelines.head_roles.tables import (
    Vocabulary,
    lens_table,
    reading_table,
    role_table,
)
from emotion_circuits.prompts import EmotionSet


class HeadDescription(NamedTuple):
    """The tables that describe a model's heads.

    Attributes:
        heads: One line per head: role, shares, and what it reads and writes.
        stability: Cohen's κ of the roles on two halves of the pairs, one line per split.
        dissociation: What is left of an emotion without the heads of each role.
        lens: The tokens that each emotion's direction raises and lowers.
    """

    heads: pd.DataFrame
    stability: pd.DataFrame
    dissociation: pd.DataFrame
    lens: pd.DataFrame


@needs_emotions("marking_words")
def describe_heads(
    language_model: LanguageModel,
    prompts: pd.DataFrame,
    emotion_vectors: dict[str, Any],
    emotions: EmotionSet,
    settings: HeadRolesSettings,
) -> HeadDescription:
    """Read the weights of every head, and tell its role from ablations.

    Args:
        language_model: The model.
        prompts: Phase 1's table.
        emotion_vectors: Phase 3's vectors.
        emotions: The study's emotions.
        settings: Parameters.

    Raises:
        InputError: If a layer has no vectors, a pair is incomplete, an emotion has no token of its
            own, or the architecture cannot be read.
    """
    model = language_model
    if settings.device is not None:
        model = model.on(resolve_device(settings.device))
    data = PairedPrompts.prepare(
        model, prompts, emotions, split=settings.split, limit=settings.max_samples_per_emotion
    )
    probes = Probes.of(
        model,
        emotion_vectors,
        emotions,
        text_layer=settings.text_layer,
        last_layer=settings.last_layer,
    )
    vocabulary = Vocabulary.of(model, prompts["text"].tolist(), limit=settings.max_tokens)
    weights = reading_table(model, vocabulary, probes, emotions.names, n_top=settings.n_top)
    readings = read_roles(data, probes, batch_size=settings.batch_size)
    roles = role_table(model, readings, probes, emotions.names, settings)
    resamples = {"n_permutations": settings.n_permutations, "seed": settings.seed}
    kappas = role_stability(readings, settings.rules, n_splits=settings.n_splits, **resamples)
    stability = pd.DataFrame({"split": range(len(kappas)), "kappa": kappas})
    stability.insert(0, "model_name", model.name)
    tested = roles_of_halves(readings, settings.rules, **resamples)
    lost = dissociation_table(
        data,
        probes,
        tested,
        n_random=settings.n_random,
        batch_size=settings.batch_size,
        n_bootstrap=settings.n_bootstrap,
        seed=settings.seed,
    )
    judged = dissociation(lost, tested, probes, margin=settings.margin)
    lost = lost.assign(**judged._asdict(), is_double=judged.is_double)
    lost.insert(0, "model_name", model.name)
    return HeadDescription(
        roles.merge(weights, on=["layer", "head"], validate="one_to_one"),
        stability,
        lost,
        lens_table(model, probes, emotions.names, n_top=settings.n_top),
    )


def compare_roles(
    heads_a: pd.DataFrame,
    heads_b: pd.DataFrame,
    emotions: EmotionSet,
    settings: HeadRolesSettings,
) -> pd.DataFrame:
    """Compare two models' roles by relative depth, for all emotions together and for each.

    Args:
        heads_a: One model's heads, of ``describe_heads``.
        heads_b: The other model's heads.
        emotions: The study's emotions.
        settings: Parameters.
    """
    columns = ["role", *(f"role_{name}" for name in emotions.names)]
    return alignment_table(
        heads_a.fillna(dict.fromkeys(columns, "none")),
        heads_b.fillna(dict.fromkeys(columns, "none")),
        columns,
        n_permutations=settings.n_permutations,
        seed=settings.seed,
    )
