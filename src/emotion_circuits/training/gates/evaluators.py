"""Gate of the evaluators: accuracy on phrasings that they were not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import recall_score, roc_auc_score

from emotion_circuits.embedded_world import WorldSettings, generate_reactions
from emotion_circuits.embedded_world.reactions import GOEMOTIONS
from emotion_circuits.training.classifier_training import predict, targets_of
from emotion_circuits.training.gates.expressed import read_emotions
from emotion_circuits.training.gates.intervals import N_BOOTSTRAP, interval
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
        values have 95 % bootstrap percentile intervals over texts.
    """
    name = trained.record["name"]
    reactions = generate_reactions(world, split="test", n=n_texts, seed=seed)
    scores = predict(trained.model, trained.tokenizer, reactions["text"].tolist()).numpy()
    targets = targets_of(reactions, name).numpy()
    rng = np.random.default_rng(seed)
    resamples = [rng.integers(0, n_texts, n_texts) for _ in range(N_BOOTSTRAP)]
    if name == "goemotions":
        occurring = np.flatnonzero(targets.any(axis=0))
        estimate = float(roc_auc_score(targets[:, occurring], scores[:, occurring]))
        # Resamples that lack a label are skipped, so that all average over the same labels.
        resampled = [
            float(roc_auc_score(targets[drawn][:, occurring], scores[drawn][:, occurring]))
            for drawn in resamples
            if targets[drawn][:, occurring].any(axis=0).all()
        ]
        by_label = {
            GOEMOTIONS[column]: round(
                float(roc_auc_score(targets[:, column], scores[:, column])), 4
            )
            for column in occurring
        }
        return {"n_texts": n_texts, "macro_auroc": interval(estimate, resampled)} | {
            "auroc": by_label,
            "expressed_emotion_accuracy": round(
                float(np.mean(np.array(read_emotions(scores)) == reactions["emotion"].to_numpy())),
                4,
            ),
        }
    truth, guess = targets.argmax(axis=1), scores.argmax(axis=1)
    estimate = float(recall_score(truth, guess, average="macro"))
    resampled = [
        float(recall_score(truth[drawn], guess[drawn], average="macro", zero_division=0.0))
        for drawn in resamples
    ]
    return {"n_texts": n_texts, "macro_accuracy": interval(estimate, resampled)}
