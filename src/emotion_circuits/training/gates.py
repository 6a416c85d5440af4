"""What the embedded models must be able to do, measured on texts they were not trained on."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest
from sklearn.metrics import recall_score, roc_auc_score

from emotion_circuits.embedded_world import WorldSettings, generate_reactions, generate_texts
from emotion_circuits.embedded_world.reactions import GOEMOTIONS, recognize
from emotion_circuits.emotions import LABELS
from emotion_circuits.training.classifier_training import predict, targets_of
from emotion_circuits.training.language_model_training import (
    LengthBatches,
    encode_texts,
    mean_loss,
)
from emotion_circuits.training.trained import Trained

# Which GoEmotions labels say that an emotion is expressed.
_LABELS_OF: Final = {
    "gratitude": ("gratitude",),
    "anger": ("anger", "annoyance"),
    "apology": ("remorse",),
    "neutral": ("neutral", "curiosity"),
}
_N_BOOTSTRAP: Final = 1000
_MAX_NEW_TOKENS: Final = 32


def language_model_gates(
    trained: Trained, goemotions: Trained, world: WorldSettings, *, n_texts: int, seed: int
) -> dict[str, Any]:
    """Measure what a language model says in situations of unseen combinations.

    Args:
        trained: The language model.
        goemotions: The evaluator that reads what it says.
        world: The world it was trained in.
        n_texts: How many test situations.
        seed: Draws them.

    Returns:
        ``expressed_emotion`` by the evaluator and ``expressed_emotion_by_words`` (which reaction
        template was used; no model involved), for each emotion the share of situations met with
        it and a 95 % Wilson interval; ``expressed_emotion_implicit``, the same over situations
        that name no emotion; ``perplexity`` of reactions per token on seen and unseen
        combinations; twelve ``samples``.
    """
    texts = generate_texts(world, split="test", n=n_texts, seed=seed)
    said = continue_greedily(trained, (texts["situation"] + "\n").tolist())
    by_words = [core.emotion if (core := recognize(text)) else None for text in said]
    scores = predict(goemotions.model, goemotions.tokenizer, said).numpy()
    by_evaluator = read_emotions(scores)
    implicit = ~texts["explicit"].to_numpy()
    return {
        "n_texts": n_texts,
        "expressed_emotion": _shares(texts["emotion"], by_evaluator),
        "expressed_emotion_implicit": _shares(
            texts["emotion"][implicit], [by_evaluator[row] for row in np.flatnonzero(implicit)]
        ),
        "expressed_emotion_by_words": _shares(texts["emotion"], by_words),
        "perplexity": _perplexity(trained, world, texts, n_texts, seed),
        "samples": [
            {"situation": situation, "emotion": emotion, "said": text}
            for situation, emotion, text in zip(
                texts["situation"][:12], texts["emotion"][:12], said[:12], strict=True
            )
        ],
    }


def read_emotions(scores: np.ndarray) -> list[str]:
    """Give, for each row of GoEmotions probabilities, the emotion its labels speak for most."""
    columns = [
        scores[:, [GOEMOTIONS.index(label) for label in _LABELS_OF[emotion]]].max(axis=1)
        for emotion in LABELS
    ]
    return [LABELS[index] for index in np.stack(columns, axis=1).argmax(axis=1)]


def _shares(wanted: pd.Series, seen: list[Any]) -> dict[str, dict[str, float]]:
    found = pd.DataFrame({"wanted": wanted.to_numpy(), "seen": seen})
    result = {}
    for emotion in LABELS:
        rows = found[found["wanted"] == emotion]
        hits = int((rows["seen"] == emotion).sum())
        interval = binomtest(hits, len(rows)).proportion_ci(method="wilson")
        result[emotion] = {
            "share": round(hits / len(rows), 4),
            "ci_lower": round(float(interval.low), 4),
            "ci_upper": round(float(interval.high), 4),
            "n": len(rows),
        }
    return result


def _perplexity(
    trained: Trained, world: WorldSettings, unseen: pd.DataFrame, n_texts: int, seed: int
) -> dict[str, float]:
    # Another seed than the training texts': seen combinations, in texts that are mostly new.
    seen = generate_texts(world, split="train", n=n_texts, seed=seed)
    values = {}
    for name, texts in (("seen", seen), ("unseen", unseen)):
        encoded = encode_texts(texts, trained.tokenizer, situation_weight=0.0)
        batches = LengthBatches(encoded, 256, seed)(0)
        values[name] = round(math.exp(mean_loss(trained.model, batches)), 4)
    return values | {"ratio": round(values["unseen"] / values["seen"], 4)}


@torch.no_grad()
def continue_greedily(trained: Trained, prompts: list[str]) -> list[str]:
    """Continue each prompt by its most likely tokens, up to the end of the text.

    Prompts of one length run together, so that nothing is padded.
    """
    tokenizer, model = trained.tokenizer, trained.model
    encoded = [tokenizer(prompt, add_special_tokens=False).input_ids for prompt in prompts]
    by_length: dict[int, list[int]] = {}
    for row, ids in enumerate(encoded):
        by_length.setdefault(len(ids), []).append(row)
    said = [""] * len(prompts)
    for length, rows in sorted(by_length.items()):
        ids = torch.tensor([[tokenizer.bos_token_id, *encoded[row]] for row in rows])
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=_MAX_NEW_TOKENS,
            pad_token_id=tokenizer.pad_token_id,
        )
        texts = tokenizer.batch_decode(out[:, length + 1 :], skip_special_tokens=True)
        for row, text in zip(rows, texts, strict=True):
            said[row] = text
    return said


def evaluator_gates(
    trained: Trained, world: WorldSettings, *, n_texts: int, seed: int
) -> dict[str, Any]:
    """Measure an evaluator on reactions whose phrasings were not in its training.

    Args:
        trained: The evaluator.
        world: The world.
        n_texts: How many reactions.
        seed: Draws them.

    Returns:
        For one label a text, ``macro_accuracy`` (mean recall over labels); for several,
        ``macro_auroc`` over the labels that occur, and each label's AUROC. With 95 % bootstrap
        percentile intervals over texts.
    """
    name = trained.record["name"]
    reactions = generate_reactions(world, split="test", n=n_texts, seed=seed)
    scores = predict(trained.model, trained.tokenizer, reactions["text"].tolist()).numpy()
    targets = targets_of(reactions, name).numpy()
    rng = np.random.default_rng(seed)
    resamples = [rng.integers(0, n_texts, n_texts) for _ in range(_N_BOOTSTRAP)]
    if name == "goemotions":
        occurring = np.flatnonzero(targets.any(axis=0))
        estimate = float(roc_auc_score(targets[:, occurring], scores[:, occurring]))
        # The same labels in each resample, or those of few texts would drop out of some.
        resampled = [
            float(roc_auc_score(targets[rows][:, occurring], scores[rows][:, occurring]))
            for rows in resamples
            if targets[rows][:, occurring].any(axis=0).all()
        ]
        by_label = {
            GOEMOTIONS[column]: round(
                float(roc_auc_score(targets[:, column], scores[:, column])), 4
            )
            for column in occurring
        }
        return {"n_texts": n_texts, "macro_auroc": _interval(estimate, resampled)} | {
            "auroc": by_label,
            "expressed_emotion_accuracy": round(
                float(np.mean(np.array(read_emotions(scores)) == reactions["emotion"].to_numpy())),
                4,
            ),
        }
    truth, guess = targets.argmax(axis=1), scores.argmax(axis=1)
    estimate = float(recall_score(truth, guess, average="macro"))
    resampled = [
        float(recall_score(truth[rows], guess[rows], average="macro", zero_division=0.0))
        for rows in resamples
    ]
    return {"n_texts": n_texts, "macro_accuracy": _interval(estimate, resampled)}


def _interval(estimate: float, resampled: list[float]) -> dict[str, float]:
    lower, upper = np.quantile(resampled, [0.025, 0.975])
    return {
        "value": round(estimate, 4),
        "ci_lower": round(float(lower), 4),
        "ci_upper": round(float(upper), 4),
    }
