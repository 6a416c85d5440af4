"""What an evaluator of natural English is worth: AUROC against neutral texts."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from emotion_circuits.evaluation.classifier import TextClassifier, wrap_classifier
from emotion_circuits.evaluation.masking import mask_words
from emotion_circuits.evaluation.spec import EvaluatorSpec
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.prompts.clusters import clusters_of
from emotion_circuits.statistics import estimate_auroc
from emotion_circuits.statistics.auroc import AurocEstimate
from emotion_circuits.statistics.clusters import number_clusters
from emotion_circuits.training.trained import Trained

VIEWS = ("as_written", "masked")


def measure_evaluator(
    trained: Trained,
    tables: Mapping[str, pd.DataFrame],
    label_of: Mapping[str, str],
    emotions: EmotionSet,
) -> pd.DataFrame:
    """Measure how well a classifier tells each emotion from neutral texts.

    Args:
        trained: The classifier.
        tables: By name, texts with ``text`` and ``emotion``.
        label_of: By emotion, the classifier's label.
        emotions: The study's emotions.

    Returns:
        One line per table, view (as written, or with the words that name an emotion masked) and
        emotion: ``texts``, ``view``, ``emotion``, ``n_emotion``, ``n_neutral``, ``auroc``,
        ``ci_lower``, ``ci_upper`` (95 %, over templates).
    """
    classifier = _classifier(trained)
    lines: list[dict[str, Any]] = []
    for (name, table), view in product(tables.items(), VIEWS):
        texts = table["text"].tolist()
        if view == "masked":
            texts = [mask_words(text, trained.tokenizer.mask_token or "") for text in texts]
        distinct = list(dict.fromkeys(texts))
        scores = pd.DataFrame(classifier.score(distinct, 64)[0], distinct, list(classifier.keys))
        for emotion, label in label_of.items():
            chosen = table["emotion"].isin([emotion, emotions.neutral]).to_numpy()
            own = scores.loc[texts, f"{classifier.name}/{label}"].to_numpy()[chosen]
            positive = (table["emotion"] == emotion).to_numpy()[chosen]
            clusters = number_clusters(clusters_of(table[chosen]).tolist())
            estimate = estimate_auroc(own, positive, clusters=clusters)
            lines.append(
                {
                    "texts": name,
                    "view": view,
                    "emotion": emotion,
                    "n_emotion": int(positive.sum()),
                    "n_neutral": int((~positive).sum()),
                    **estimate._asdict(),
                }
            )
    return pd.DataFrame(lines)


def measure_labels(trained: Trained, comments: pd.DataFrame, name: str) -> pd.DataFrame:
    """Measure how well a classifier tells each of its labels from all other texts.

    Args:
        trained: The classifier.
        comments: ``text`` and a column of booleans per label.
        name: What the lines call these texts.

    Returns:
        One line per label that some texts have and some have not, in the form of
        ``measure_evaluator``, with all other texts in place of neutral ones; the last, ``macro``,
        is the mean over labels, without an interval.
    """
    classifier = _classifier(trained)
    distinct = comments.drop_duplicates("text")
    scores = classifier.score(distinct["text"].tolist(), 64)[0]
    lines: list[dict[str, Any]] = []
    for place, key in enumerate(classifier.keys):
        label = key.partition("/")[2]
        positive = distinct[label].to_numpy(dtype=bool)
        if positive.any() and not positive.all():
            estimate = estimate_auroc(scores[:, place], positive)
            lines.append(_label_line(name, label, int(positive.sum()), len(distinct), estimate))
    mean = float(np.mean([line["auroc"] for line in lines])) if lines else float("nan")
    macro = AurocEstimate(mean, float("nan"), float("nan"))
    return pd.DataFrame([*lines, _label_line(name, "macro", len(distinct), len(distinct), macro)])


def _label_line(
    name: str, label: str, n_positive: int, n_texts: int, estimate: AurocEstimate
) -> dict[str, Any]:
    return {
        "texts": name,
        "view": VIEWS[0],
        "emotion": label,
        "n_emotion": n_positive,
        "n_neutral": n_texts - n_positive,
        **estimate._asdict(),
    }


def _classifier(trained: Trained) -> TextClassifier:
    return wrap_classifier(
        EvaluatorSpec.model_validate({"name": trained.record["name"], "source": "memory"}),
        trained.model,
        trained.tokenizer,
    )
