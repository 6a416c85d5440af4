"""Gate: does a model express a situation's emotion for combinations that it was not trained on?"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import binomtest

from emotion_circuits.embedded_world import WorldSettings, generate_texts
from emotion_circuits.embedded_world.emotions import LABELS
from emotion_circuits.embedded_world.reactions import GOEMOTIONS, recognize
from emotion_circuits.evaluation import TextEvaluator, continuation_nll
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.training.gates.continuations import continue_greedily
from emotion_circuits.training.gates.intervals import bootstrap_cell
from emotion_circuits.training.language_model_training import encode_texts

# GoEmotions labels that count as each emotion.
_LABELS_OF: Final = {
    "gratitude": ("gratitude",),
    "anger": ("anger", "annoyance"),
    "apology": ("remorse",),
    "neutral": ("neutral", "curiosity"),
}


def expressed_gate(
    model: LanguageModel,
    goemotions: TextEvaluator,
    world: WorldSettings,
    *,
    n_texts: int,
    seed: int,
) -> dict[str, Any]:
    """Measure the emotions that a language model expresses in situations of unseen combinations.

    Args:
        model: The language model.
        goemotions: The evaluator that scores the reactions.
        world: The settings of the world that the model was trained in.
        n_texts: Number of test situations.
        seed: Seed for drawing the situations.

    Returns:
        ``expressed_emotion``: for each emotion the share of its situations where the evaluator
        reads that emotion, with a 95 % Wilson interval; ``expressed_emotion_implicit``: the same
        over situations that name no emotion; ``expressed_emotion_by_words``: the same by the
        first known phrasing in the text, without an evaluator; ``perplexity`` of reactions per
        token on seen and unseen combinations; twelve ``samples``.
    """
    texts = generate_texts(world, split="test", n=n_texts, seed=seed)
    prompts = (texts["situation"] + "\n").tolist()
    outcomes = continue_greedily(model, goemotions, prompts)
    said, scores = outcomes.table["text"].tolist(), outcomes.values(goemotions.keys)
    by_words = [core.emotion if (core := recognize(text)) else None for text in said]
    by_evaluator = read_emotions(scores)
    implicit = ~texts["explicit"].to_numpy()
    return {
        "n_texts": n_texts,
        "expressed_emotion": _shares(texts["emotion"], by_evaluator),
        "expressed_emotion_implicit": _shares(
            texts["emotion"][implicit], [by_evaluator[index] for index in np.flatnonzero(implicit)]
        ),
        "expressed_emotion_by_words": _shares(texts["emotion"], by_words),
        "perplexity": _perplexity(model, world, texts, n_texts, seed),
        "samples": [
            {"situation": situation, "emotion": emotion, "said": text}
            for situation, emotion, text in zip(
                texts["situation"][:12], texts["emotion"][:12], said[:12], strict=True
            )
        ],
    }


def read_emotions(scores: np.ndarray) -> list[str]:
    """Return for each text the emotion with the highest GoEmotions probability among its labels."""
    columns = [
        scores[:, [GOEMOTIONS.index(label) for label in _LABELS_OF[emotion]]].max(axis=1)
        for emotion in LABELS
    ]
    return [LABELS[index] for index in np.stack(columns, axis=1).argmax(axis=1)]


def _shares(wanted: pd.Series, seen: list[Any]) -> dict[str, dict[str, float]]:
    texts = pd.DataFrame({"wanted": wanted.to_numpy(), "seen": seen})
    result = {}
    for emotion in LABELS:
        of_emotion = texts[texts["wanted"] == emotion]
        hits = int((of_emotion["seen"] == emotion).sum())
        wilson = binomtest(hits, len(of_emotion)).proportion_ci(method="wilson")
        result[emotion] = {
            "share": round(hits / len(of_emotion), 4),
            "ci_lower": round(float(wilson.low), 4),
            "ci_upper": round(float(wilson.high), 4),
            "n": len(of_emotion),
        }
    return result


def _perplexity(
    model: LanguageModel, world: WorldSettings, unseen: pd.DataFrame, n_texts: int, seed: int
) -> dict[str, float]:
    # The seed differs from training, so texts on seen combinations are mostly new.
    seen = generate_texts(world, split="train", n=n_texts, seed=seed)
    losses = {name: _losses(model, table) for name, table in (("seen", seen), ("unseen", unseen))}

    def perplexity(weights: np.ndarray, name: str) -> np.ndarray:
        nll, n_tokens = (weights @ losses[name]).T
        result: np.ndarray = np.exp(nll / n_tokens)
        return result

    ratio = bootstrap_cell(
        lambda unseen, seen: perplexity(unseen, "unseen") / perplexity(seen, "seen"),
        *(np.arange(len(losses[name])) for name in ("unseen", "seen")),
        rng=np.random.default_rng(seed),
    )
    once = np.ones((1, n_texts))
    return {
        "seen": round(float(perplexity(once, "seen")[0]), 4),
        "unseen": round(float(perplexity(once, "unseen")[0]), 4),
        "ratio": ratio["value"],
        "ratio_ci_lower": ratio["ci_lower"],
        "ratio_ci_upper": ratio["ci_upper"],
    }


def _losses(model: LanguageModel, texts: pd.DataFrame) -> Float[np.ndarray, "text 2"]:
    """Return each reaction's summed negative log-likelihood and its number of tokens."""
    encoded = encode_texts(texts, model.tokenizer, situation_weight=0.0)
    starts = [weights.index(1.0) for _, weights in encoded]
    prompts = [ids[:start] for (ids, _), start in zip(encoded, starts, strict=True)]
    reactions = [ids[start:] for (ids, _), start in zip(encoded, starts, strict=True)]
    sizes = np.array([len(reaction) for reaction in reactions], dtype=float)
    return np.column_stack([continuation_nll(model, prompts, reactions) * sizes, sizes])
