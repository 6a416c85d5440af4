"""Word probes: whether words without their order tell labels apart on unseen templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise, product
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from emotion_circuits.prompts.clusters import clusters_of
from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.prompts.implicit import implicit_texts
from emotion_circuits.prompts.style import style_of, words_of
from emotion_circuits.seeds import rng_for, seed_for

N_FOLDS: Final = 10
SUBSETS: Final = ("implicit", "all")
VIEWS: Final = ("bag_of_words", "style")


class WordProbe(NamedTuple):
    """Scores that a word probe gives to texts of templates that it was not fitted on.

    Attributes:
        view: One of ``VIEWS``.
        subset: One of ``SUBSETS``: the texts it was fitted on and scored on.
        contrast: The two labels; a high score means the first.
        positive: Whether each text has the first label.
        templates: The template of each text.
        folds: For each shuffle of the templates, the fold of each text.
        scores: For each shuffle, each text's log-odds under the probe fitted on the other folds;
            None if the probe was not run.
        reason: Why it was not run; else empty.
    """

    view: str
    subset: str
    contrast: tuple[str, str]
    positive: Bool[np.ndarray, " text"]
    templates: np.ndarray
    folds: Int[np.ndarray, "shuffle text"] | None
    scores: Float[np.ndarray, "shuffle text"] | None
    reason: str = ""


def probe_words(
    prompts: pd.DataFrame,
    emotions: EmotionSet,
    *,
    n_shuffles: int,
    min_templates: int,
    max_texts: int | None = None,
    seed: int,
) -> Iterator[WordProbe]:
    """Fit word probes for each contrast, view and subset of a dataset.

    A probe is a logistic regression (L2 penalty, C = 1) on counts. Each text is scored by a probe
    that was fitted without any text of its template (``N_FOLDS``-fold cross-validation by
    template). Texts without a template are grouped by their pair.

    Args:
        prompts: Phase 1's table.
        emotions: The study's emotions.
        n_shuffles: How often the templates are divided into folds anew.
        min_templates: A probe is not run if one of its labels has texts of fewer templates.
        max_texts: At most so many texts of each label are read, of templates drawn at random;
            None for all.
        seed: Seed of the folds and of the texts that are read.

    Yields:
        Probes by subset, view and contrast.
    """
    prompts = prompts.assign(cluster=clusters_of(prompts))
    prompts = prompts[_drawn(prompts, max_texts, seed)]
    labels, templates = prompts["emotion"].to_numpy(), prompts["cluster"].to_numpy(dtype=object)
    implicit = implicit_texts(prompts, emotions).to_numpy()
    subsets = {"implicit": implicit, "all": np.ones(len(prompts), dtype=bool)}
    readers = {"bag_of_words": words_of, "style": _singles_and_pairs}
    counts = {view: _count(prompts["text"], read) for view, read in readers.items()}
    for subset, view, contrast in product(subsets, readers, list(combinations(emotions.labels, 2))):
        chosen = np.flatnonzero(subsets[subset] & np.isin(labels, contrast))
        positive, groups = labels[chosen] == contrast[0], templates[chosen]
        reason = _too_few(positive, groups, contrast, min_templates)
        folds = scores = None
        if not reason:
            folds = _divide(groups, n_shuffles, seed)
            scores = _score(counts[view][chosen], positive, folds)
        yield WordProbe(view, subset, contrast, positive, groups, folds, scores, reason)


def _drawn(prompts: pd.DataFrame, max_texts: int | None, seed: int) -> Bool[np.ndarray, " text"]:
    """Return which texts are read: the first ones of each label, templates in random order."""
    names, template = np.unique(prompts["cluster"].to_numpy(dtype=str), return_inverse=True)
    rank = rng_for(seed, "word_probe_texts").permutation(len(names))[template]
    labels = prompts["emotion"].reset_index(drop=True)
    place = labels.iloc[np.argsort(rank, kind="stable")].groupby(labels).cumcount()
    drawn: np.ndarray = (place.sort_index() < (max_texts or len(labels))).to_numpy()
    return drawn


def _singles_and_pairs(text: str) -> list[str]:
    """Return the style tokens of a text, and each two neighbouring ones joined by a blank."""
    tokens = style_of(text)
    return tokens + [f"{first} {second}" for first, second in pairwise(tokens)]


def _count(texts: pd.Series, read: Callable[[str], list[str]]) -> csr_matrix:
    if not any(map(read, texts)):
        return csr_matrix((len(texts), 1))
    # Words that occur in no text of a training fold get weight 0, so one vocabulary serves all.
    counts: csr_matrix = CountVectorizer(analyzer=read, dtype=np.float64).fit_transform(texts)
    return counts.tocsr()


def _too_few(
    positive: np.ndarray, groups: np.ndarray, contrast: tuple[str, str], least: int
) -> str:
    """Say which label has texts of too few templates; empty if both have enough."""
    for label, of_label in zip(contrast, (positive, ~positive), strict=True):
        n = len(set(groups[of_label]))
        if n < least:
            return f"{label} has texts of {n} templates; at least {least} are needed"
    return ""


def _divide(groups: np.ndarray, n_shuffles: int, seed: int) -> Int[np.ndarray, "shuffle text"]:
    folds = np.empty((n_shuffles, len(groups)), dtype=int)
    for shuffle in range(n_shuffles):
        # scikit-learn takes seeds of 32 bits.
        state = seed_for(seed, "word_probe_folds", shuffle) % 2**32
        divide = GroupKFold(N_FOLDS, shuffle=True, random_state=state)
        for fold, (_, held_out) in enumerate(divide.split(groups, groups=groups)):
            folds[shuffle, held_out] = fold
    return folds


def _score(
    counts: csr_matrix,
    positive: Bool[np.ndarray, " text"],
    folds: Int[np.ndarray, "shuffle text"],
) -> Float[np.ndarray, "shuffle text"]:
    scores = np.empty(folds.shape)
    for shuffle, fold in product(range(len(folds)), range(N_FOLDS)):
        held_out = folds[shuffle] == fold
        probe = LogisticRegression(solver="liblinear")
        probe.fit(counts[~held_out], positive[~held_out])
        scores[shuffle, held_out] = probe.decision_function(counts[held_out])
    return scores
