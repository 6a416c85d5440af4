"""Held-out probes: linear readouts of two labels, with two controls."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emotion_circuits.geometry.directions import PooledActivations
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics import auroc, estimate_auroc
from emotion_circuits.statistics.clusters import number_clusters

SUBSETS: Final = ("all", "implicit", "explicit")

# Inverse strength of the L2 penalty on standardised features. It is fixed, so that probes of all
# layers and models are comparable.
_INVERSE_PENALTY: Final = 0.1


class Contrast(NamedTuple):
    """The prompts of two labels.

    Attributes:
        train: Indices of the training prompts.
        test: Indices of the test prompts.
        train_positive: Whether each training prompt has the first label.
        test_positive: Whether each test prompt has the first label.
        test_clusters: Name of each test prompt's cluster, the unit of intervals.
    """

    train: Int[np.ndarray, " train"]
    test: Int[np.ndarray, " test"]
    train_positive: Bool[np.ndarray, " train"]
    test_positive: Bool[np.ndarray, " test"]
    test_clusters: np.ndarray


def probe_table(
    pooled: PooledActivations,
    explicit_pairs: Bool[np.ndarray, " prompt"],
    *,
    n_shuffles: int,
    seed: int,
) -> pd.DataFrame:
    """Score probes and controls on held-out prompts, per layer and contrast.

    There are three kinds of probe: ``residual`` reads the activations of a layer;
    ``bag_of_words`` reads the words of the text; ``residual_shuffled_labels`` is fitted on the
    activations with shuffled training labels, and should have an AUROC of 0.5.

    Args:
        pooled: One vector per prompt and layer.
        explicit_pairs: For each prompt, whether emotion texts of its pair name their emotion.
        n_shuffles: Number of shuffles of the training labels.
        seed: Seed of shuffles.

    Returns:
        One line per probe, layer (empty for the bag of words), contrast and subset of the test
        prompts (``all``, or ``implicit`` or ``explicit`` pairs): ``n_train``, ``n_test``,
        ``auroc``, ``ci_lower``, ``ci_upper`` (95 %, of ``estimate_auroc``, or for shuffled labels
        by quantiles over shuffles), ``n_bootstrap`` (0: intervals are computed without resamples),
        ``seed``, ``reason`` (why a number is missing).
    """
    lines: list[dict[str, Any]] = []
    for labels in combinations(pooled.emotions.labels, 2):
        contrast = _contrast(pooled, labels)
        name = f"{labels[0]}_vs_{labels[1]}"
        shared = {"contrast": name, "n_train": len(contrast.train)}
        scored: list[tuple[str, int | None, np.ndarray | None]] = [
            ("bag_of_words", None, _bag_of_words_scores(pooled.prompts, contrast))
        ]
        controls = []
        for index, number in enumerate(pooled.layer_indices):
            features = _features(pooled.values[:, index], contrast)
            scores = _scores(features, contrast.train_positive)
            scored.append(("residual", number, scores))
            rng = rng_for(seed, "shuffled_labels", name, number)
            control = _shuffled(features, contrast, n_shuffles, rng)
            where = {"probe": "residual_shuffled_labels", "layer": number}
            controls.append({**where, **shared, "subset": "all"} | control)
        for probe, layer, scores in scored:
            for subset, chosen in _subsets(contrast, explicit_pairs):
                estimate = _estimate(scores, contrast, chosen)
                lines.append(
                    {"probe": probe, "layer": layer, **shared, "subset": subset} | estimate
                )
        lines += controls
    table = pd.DataFrame(lines).assign(n_bootstrap=0, seed=seed)
    return table.astype({"layer": "Int64"})


def _contrast(pooled: PooledActivations, labels: tuple[str, str]) -> Contrast:
    train, test = (
        np.concatenate([pooled.rows(label, split) for label in labels])
        for split in ("train", "test")
    )
    return Contrast(
        *(train, test),
        *(pooled.labels[train] == labels[0], pooled.labels[test] == labels[0]),
        pooled.clusters_at(test),
    )


def _subsets(
    contrast: Contrast, explicit_pairs: Bool[np.ndarray, " prompt"]
) -> Iterator[tuple[str, np.ndarray]]:
    explicit = explicit_pairs[contrast.test]
    yield "all", np.ones(len(explicit), dtype=bool)
    yield "implicit", ~explicit
    yield "explicit", explicit


class Features(NamedTuple):
    """Features of one contrast's prompts, from which all its probes of a layer are fitted."""

    train: Float[np.ndarray, "train feature"]
    test: Float[np.ndarray, "test feature"]


def _features(values: Float[np.ndarray, "prompt d_model"], contrast: Contrast) -> Features:
    """Standardise by the training prompts, and rotate into the space that these span.

    The weights of a probe with an L2 penalty are a combination of the training prompts, and the
    penalty does not depend on the basis. So where a stream is wider than there are prompts, all
    probes can be fitted in as many dimensions as there are prompts.
    """
    if not len(contrast.train) or not len(contrast.test):
        return Features(values[contrast.train], values[contrast.test])
    scaler = StandardScaler().fit(values[contrast.train])
    train, test = (scaler.transform(values[rows]) for rows in (contrast.train, contrast.test))
    if train.shape[1] <= train.shape[0]:
        return Features(train, test)
    basis, within = np.linalg.qr(train.T)  # train = within.T @ basis.T
    return Features(within.T, test @ basis)


def _scores(
    features: Features, train_positive: Bool[np.ndarray, " train"]
) -> Float[np.ndarray, " test"] | None:
    """Fit a probe on the training prompts, and score the test prompts."""
    if len(set(train_positive.tolist())) < 2 or not len(features.test):
        return None
    probe = LogisticRegression(C=_INVERSE_PENALTY, max_iter=2000, tol=1e-4)
    probe.fit(features.train, train_positive)
    scores: np.ndarray = probe.decision_function(features.test)
    return scores


def _bag_of_words_scores(
    prompts: np.ndarray, contrast: Contrast
) -> Float[np.ndarray, " test"] | None:
    if len(set(contrast.train_positive.tolist())) < 2 or not len(contrast.test):
        return None
    # One-letter words count, since "I" names the actor.
    words = CountVectorizer(token_pattern=r"(?u)\b\w+\b")
    probe = make_pipeline(words, LogisticRegression(C=1.0, max_iter=2000))
    probe.fit(prompts[contrast.train], contrast.train_positive)
    scores: np.ndarray = probe.decision_function(prompts[contrast.test])
    return scores


def _estimate(
    scores: Float[np.ndarray, " test"] | None,
    contrast: Contrast,
    chosen: Bool[np.ndarray, " test"],
) -> dict[str, Any]:
    positive = contrast.test_positive[chosen]
    if scores is None or not 0 < positive.sum() < len(positive):
        where = "training" if scores is None else "test"
        reason = f"a label has no {where} prompts in this subset"
        return _record(len(positive), (float("nan"),) * 3, reason)
    clusters = number_clusters(contrast.test_clusters[chosen].tolist())
    estimate = estimate_auroc(scores[chosen], positive, clusters=clusters)
    return _record(len(positive), estimate, "")


def _shuffled(
    features: Features,
    contrast: Contrast,
    n_shuffles: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    aurocs = []
    for _ in range(n_shuffles):
        scores = _scores(features, rng.permutation(contrast.train_positive))
        if scores is None or not 0 < contrast.test_positive.sum() < len(scores):
            return _record(len(contrast.test), (float("nan"),) * 3, "a label has no prompts")
        aurocs.append(auroc(scores, contrast.test_positive))
    lower, upper = np.quantile(aurocs, [0.025, 0.975])
    return _record(len(contrast.test), (float(np.mean(aurocs)), float(lower), float(upper)), "")


def _record(n_test: int, estimate: tuple[float, float, float], reason: str) -> dict[str, Any]:
    value, lower, upper = estimate
    return {
        "n_test": n_test,
        "auroc": value,
        "ci_lower": lower,
        "ci_upper": upper,
        "reason": reason,
    }


def pairs_named_outright(
    pair_ids: np.ndarray, labels: np.ndarray, explicit: np.ndarray, *, neutral: str
) -> Bool[np.ndarray, " prompt"]:
    """Return for each prompt whether it counts as explicit.

    An emotion text counts by its own flag. A neutral text names no emotion and counts with the
    majority of the emotion texts of its pair, at a tie as implicit. All texts of a scenario have
    one flag; pairs that were made by length join texts of both kinds.
    """
    emotional = labels != neutral
    texts = pd.DataFrame({"pair": pair_ids, "explicit": explicit.astype(bool)})
    share = texts["pair"].map(texts[emotional].groupby("pair")["explicit"].mean()).fillna(0.0)
    named: np.ndarray = np.where(emotional, texts["explicit"], share > 0.5)
    return named
