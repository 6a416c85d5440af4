"""Gate of the evaluators: accuracy on phrasings that they were not trained on."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.metrics import roc_auc_score

from emotion_circuits.embedded_world import WorldSettings, generate_reactions
from emotion_circuits.embedded_world.reactions import GOEMOTIONS
from emotion_circuits.training.classifier_training import predict, targets_of
from emotion_circuits.training.gates.expressed import read_emotions
from emotion_circuits.training.gates.intervals import bootstrap_cell
from emotion_circuits.training.trained import Trained


def evaluator_gates(
    trained: Trained, world: WorldSettings, *, n_texts: int, seed: int
) -> dict[str, Any]:
    """Measure an evaluator on reactions whose phrasings were not in its training.

    Args:
        trained: The evaluator.
        world: The settings of the world.
        n_texts: Number of reactions.
        seed: Seed for drawing the reactions and the resamples.

    Returns:
        For one label per text, ``macro_accuracy`` (mean recall over labels); for several,
        ``macro_auroc`` over the labels that occur, and ``auroc`` of each label. Both summary
        values have 95 % BCa bootstrap intervals over texts.
    """
    name = trained.record["name"]
    reactions = generate_reactions(world, split="test", n=n_texts, seed=seed)
    scores = predict(trained.model, trained.tokenizer, reactions["text"].tolist()).numpy()
    targets = targets_of(reactions, name).numpy() > 0
    rng = np.random.default_rng(seed)
    own = np.arange(n_texts)
    if name == "goemotions":
        occurring = np.flatnonzero(targets.any(axis=0))
        macro = partial(_macro_auroc, targets[:, occurring], scores[:, occurring])
        by_label = {
            GOEMOTIONS[column]: round(
                float(roc_auc_score(targets[:, column], scores[:, column])), 4
            )
            for column in occurring
        }
        return {"n_texts": n_texts, "macro_auroc": bootstrap_cell(macro, own, rng=rng)} | {
            "auroc": by_label,
            "expressed_emotion_accuracy": round(
                float(np.mean(np.array(read_emotions(scores)) == reactions["emotion"].to_numpy())),
                4,
            ),
        }
    truth, guess = targets.argmax(axis=1), scores.argmax(axis=1)
    recall = partial(_macro_recall, truth, guess)
    return {"n_texts": n_texts, "macro_accuracy": bootstrap_cell(recall, own, rng=rng)}


def _macro_auroc(
    targets: Bool[np.ndarray, "text label"],
    scores: Float[np.ndarray, "text label"],
    weights: Float[np.ndarray, "resample text"],
) -> Float[np.ndarray, " resample"]:
    """Return the mean AUROC over labels of each resample; NaN if it lacks one of the labels."""
    has_all = ((weights > 0) @ targets > 0).all(axis=1)
    return np.array(
        [
            roc_auc_score(targets, scores, sample_weight=line) if complete else np.nan
            for line, complete in zip(weights, has_all, strict=True)
        ]
    )


def _macro_recall(
    truth: Int[np.ndarray, " text"],
    guess: Int[np.ndarray, " text"],
    weights: Float[np.ndarray, "resample text"],
) -> Float[np.ndarray, " resample"]:
    """Return the mean recall over the labels of each resample."""
    labels = truth[:, None] == np.unique(truth)
    with np.errstate(invalid="ignore"):
        recall = (weights @ (labels & (guess == truth)[:, None])) / (weights @ labels)
    means: np.ndarray = recall.mean(axis=1)
    return means
