"""Comparison of recipes of emotion vectors: what they hold, and what they do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import cross, run
from emotion_circuits.experiments.directions import covariance_directions
from emotion_circuits.experiments.doses import residual_norms
from emotion_circuits.experiments.effects import in_halves
from emotion_circuits.experiments.steering import UNSTEERED_CONDITION, Steering
from emotion_circuits.experiments.vector_recipes import is_implicit
from emotion_circuits.geometry import PooledActivations
from emotion_circuits.geometry.directions import Vectors
from emotion_circuits.geometry.reliability import split_half_reliability
from emotion_circuits.geometry.style import read_style
from emotion_circuits.geometry.vector_methods import common_share
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.layer_choice import layer_numbers
from emotion_circuits.node_marks import needs_emotions
from emotion_circuits.pipelines.vector_comparison.settings import VectorComparisonSettings
from emotion_circuits.prompts import EmotionSet, PromptSource, choose_neutral
from emotion_circuits.prompts.forms import count_forms
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.auroc import estimate_auroc
from emotion_circuits.statistics.clusters import number_clusters

logger = logging.getLogger(__name__)


def read_recipes(
    activations: Mapping[str, Any],
    prompts: pd.DataFrame,
    emotions: EmotionSet,
    settings: VectorComparisonSettings,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Compute the vectors of every recipe at one layer, and read held-out texts along them.

    Args:
        activations: Phase 2's result.
        prompts: Phase 1's table.
        emotions: The study's emotions.
        settings: The recipes and the layer.

    Returns:
        ``vectors``: for each recipe and emotion ``[d_model]``, with ``layer`` and ``recipes``; and
        one line per recipe and emotion: ``recipe`` (its number), its parameters, ``layer``,
        ``common_share``, ``reliability``; ``auroc`` with its interval over templates, of the
        projection of implicit test texts against neutral ones; ``style_form`` and ``style_auroc``,
        the grammatical form that the projection of test texts tells best (see ``read_style``), and
        ``style_auroc_random``, the mean of the same for random directions with the covariance of
        the texts.

    Raises:
        InputError: If the layer was not captured, or a recipe cannot be computed.
    """
    (layer,) = layer_numbers([settings.layer], activations["metadata"]["n_layers"])
    vectors: list[dict[str, np.ndarray]] = []
    lines: list[dict[str, Any]] = []
    for number, recipe in enumerate(settings.recipes):
        pooled = recipe.pool(activations, emotions, hook_point=settings.hook_point, layers=[layer])
        fitted_on = recipe.choose_texts(pooled, prompts, emotions)
        fitted = recipe.fit(fitted_on)
        reliability = split_half_reliability(fitted_on, seed=settings.seed, fit=recipe.fit)
        vectors.append({emotion: vector[0] for emotion, vector in fitted.items()})
        for emotion, held_out in _read(pooled, prompts, fitted, emotions, settings).items():
            lines.append(
                {
                    "recipe": number,
                    **recipe.model_dump(),
                    "layer": layer,
                    "emotion": emotion,
                    "common_share": float(common_share(fitted)[0]),
                    "reliability": float(reliability[emotion].reliability[0]),
                    **held_out,
                }
            )
    found = {
        "vectors": vectors,
        "layer": layer,
        "hook_pos": settings.hook_point,
        "recipes": [recipe.model_dump() for recipe in settings.recipes],
    }
    return found, pd.DataFrame(lines)


def _read(
    pooled: PooledActivations,
    prompts: pd.DataFrame,
    vectors: Vectors,
    emotions: EmotionSet,
    settings: VectorComparisonSettings,
) -> dict[str, dict[str, Any]]:
    """Read test texts along each vector, and along random directions."""
    test = pooled.select(pooled.splits == "test")
    values, labels = test.values[:, 0], test.labels
    implicit = is_implicit(test, prompts, emotions)
    clusters = np.asarray(test.clusters_at(np.arange(len(labels))))
    counts = count_forms(pd.Series(test.prompts.astype(str)))
    means = pd.DataFrame(values).groupby(labels).transform("mean").to_numpy()
    drawn = covariance_directions(
        values - means, settings.n_random, rng_for(settings.seed, "style_of_random")
    )
    by_chance = float(np.mean([read_style(values @ each, labels, counts).auroc for each in drawn]))
    found = {}
    for emotion, vector in vectors.items():
        along = values @ vector[0]
        chosen = implicit & np.isin(labels, [emotion, emotions.neutral])
        score = estimate_auroc(
            along[chosen],
            labels[chosen] == emotion,
            clusters=number_clusters(clusters[chosen].tolist()),
        )
        style = read_style(along, labels, counts)
        found[emotion] = {
            "auroc": score.auroc,
            "auroc_ci_lower": score.ci_lower,
            "auroc_ci_upper": score.ci_upper,
            "style_form": style.form,
            "style_auroc": style.auroc,
            "style_auroc_random": by_chance,
        }
    return found


@needs_emotions("target_metrics")
def steer_recipes(
    language_model: LanguageModel,
    text_evaluator: TextEvaluator,
    recipe_vectors: Mapping[str, Any],
    prompts: pd.DataFrame,
    fresh_prompts: PromptSource,
    checkpoint: Checkpoint,
    emotions: EmotionSet,
    settings: VectorComparisonSettings,
) -> dict[str, Any]:
    """Steer with every recipe's vectors at equal lengths.

    A vector is scaled to shares of the length of the unsteered residual stream, so that recipes
    whose vectors differ in length are compared at equal doses.

    Returns:
        ``model``, ``layer``, ``residual_norm`` (median length of the unsteered stream where
        steering acts); ``lines``: by column, the values of all texts: ``prompt``, ``cluster``,
        ``half``, ``kind``, ``emotion``, ``draw`` (the recipe's number), ``alpha`` (the relative
        dose), ``text``, ``fluency`` and scores.
    """
    emotions.check_metrics(text_evaluator.keys)
    model = settings.placed(language_model)
    chosen = choose_neutral(
        prompts,
        fresh_prompts,
        emotions,
        split=settings.split,
        limit=settings.max_samples_per_emotion,
    )
    layer, steering = int(recipe_vectors["layer"]), Steering(hook_point=settings.hook_point)
    decoding = settings.decoding()
    unsteered = run(
        model, text_evaluator, cross(model, list(chosen), [UNSTEERED_CONDITION]), decoding
    )
    norm = residual_norms(
        model,
        unsteered.table["prompt"].tolist(),
        unsteered.table["token_ids"].tolist(),
        steering,
        [layer],
        batch_size=settings.batch_size,
    )[layer]
    conditions = [UNSTEERED_CONDITION]
    for emotion in emotions.names:
        directions = [
            of_recipe[emotion] * (norm / np.linalg.norm(of_recipe[emotion]))
            for of_recipe in recipe_vectors["vectors"]
        ]
        conditions += steering.conditions(
            "emotion", emotion, layer, directions, settings.relative_doses
        )
    outcomes = run(
        model,
        text_evaluator,
        cross(model, list(chosen), conditions),
        decoding,
        checkpoint=checkpoint,
        known=unsteered,
        progress=f"{model.name} recipes",
    )
    logger.info("%s: %d conditions on %d prompts", model.name, len(conditions), len(chosen))
    placed = in_halves(outcomes, chosen, settings.seed).table.drop(columns="token_ids")
    # A baseline has no layer and no strength; JSON has no number for that.
    lines = placed.astype(object).where(placed.notna(), None).to_dict("list")
    return {"model": model.name, "layer": layer, "residual_norm": norm, "lines": lines}
