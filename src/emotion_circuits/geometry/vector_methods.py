"""Methods that turn activations into one vector per emotion and layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.geometry.directions import PooledActivations, Vectors, emotion_vectors
from emotion_circuits.geometry.subspaces import paired_differences

Method = Literal["mean_difference", "against_others", "probe", "pca"]

# Inverse strength of the L2 penalty on standardised features, as for the probes.
_INVERSE_PENALTY: Final = 0.1


def fit_vectors(
    pooled: PooledActivations,
    method: str = "mean_difference",
    *,
    neutral_components_removed: int = 0,
) -> Vectors:
    """Compute one vector per emotion and layer from the training prompts.

    ``mean_difference`` is the mean of the emotion's prompts minus that of neutral prompts.
    ``against_others`` subtracts in each scenario the mean of its other labels, neutral included, so
    that what all labels of a scenario share is removed, and what all emotions share is reduced.
    ``probe`` is the weight vector of a logistic regression of the emotion against neutral, in the
    activations' units. ``pca`` is the first principal component of the paired differences
    (uncentred). The last two have no length of their own; they get that of the mean difference, and
    point to the emotion's side, so that a strength means the same for all methods.

    Args:
        pooled: One vector per prompt and layer.
        method: One of ``METHODS``.
        neutral_components_removed: Number of leading principal components of the neutral training
            prompts that every vector is made orthogonal to.

    Returns:
        For each emotion, in the study's order, its vector at each layer.

    Raises:
        InputError: If the method does not exist, a label has no training prompts, no scenario has
            the emotion beside another label, or more components are to be removed than the neutral
            prompts have.

    Source: ``mean_difference``: Marks and Tegmark 2023, arXiv:2310.06824. ``against_others``:
    arXiv:2510.11328. ``pca``: Zou et al. 2023, arXiv:2310.01405.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS, where="emotion_vectors")
    vectors = METHODS[method](pooled)
    if not neutral_components_removed:
        return vectors
    basis = _neutral_components(pooled, neutral_components_removed)
    return {
        emotion: vector - np.einsum("lkd,lke,le->ld", basis, basis, vector)
        for emotion, vector in vectors.items()
    }


def common_share(vectors: Vectors) -> Float[np.ndarray, " layer"]:
    """Return the share of the vectors' squared length that is common to all emotions.

    The mean over emotions is what they share: ``n ‖mean‖² / Σ ‖v‖²``. It is 1 if all vectors are
    equal, about 1 / n for n unrelated directions of equal length, and 0 if they sum to zero.

    Args:
        vectors: One vector per emotion and layer.
    """
    stacked = np.stack(list(vectors.values()))
    total = (stacked**2).sum(axis=(0, 2))
    shared = len(stacked) * (stacked.mean(axis=0) ** 2).sum(axis=1)
    share: np.ndarray = np.divide(shared, total, out=np.full(len(total), np.nan), where=total > 0)
    return share


def _against_others(pooled: PooledActivations) -> Vectors:
    labels, scenarios = pooled.labels, pooled.pair_ids
    train = pooled.splits == "train"
    return {
        emotion: _mean_within_scenarios(pooled, labels == emotion, labels != emotion, train)
        if (scenarios != "").all()
        else _missing_scenarios()
        for emotion in pooled.emotions.names
    }


def _missing_scenarios() -> Float[np.ndarray, "layer d_model"]:
    raise InputError("method against_others needs a pair_id for every prompt")


def _mean_within_scenarios(
    pooled: PooledActivations, own: np.ndarray, other: np.ndarray, train: np.ndarray
) -> Float[np.ndarray, "layer d_model"]:
    differences = []
    for scenario in np.unique(pooled.pair_ids[own & train]):
        here = train & (pooled.pair_ids == scenario)
        if (here & other).any():
            of_labels = [
                pooled.values[here & (pooled.labels == label)].mean(axis=0)
                for label in np.unique(pooled.labels[here & other])
            ]
            mean_own = pooled.values[here & own].mean(axis=0)
            differences.append(mean_own - np.mean(of_labels, axis=0))
    if not differences:
        raise InputError("method against_others: no scenario has an emotion beside another label")
    mean: np.ndarray = np.mean(differences, axis=0)
    return mean


def _probe(pooled: PooledActivations) -> Vectors:
    lengths = emotion_vectors(pooled)
    return {
        emotion: np.stack(
            [
                _scaled(_probe_weights(pooled, emotion, index), lengths[emotion][index])
                for index in range(len(pooled.layer_indices))
            ]
        )
        for emotion in pooled.emotions.names
    }


def _probe_weights(
    pooled: PooledActivations, emotion: str, index: int
) -> Float[np.ndarray, " d_model"]:
    labels = (emotion, pooled.emotions.neutral)
    rows = np.concatenate([pooled.rows(label, "train") for label in labels])
    values = pooled.values[rows, index]
    deviation = values.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model.fit((values - values.mean(axis=0)) / scale, pooled.labels[rows] == emotion)
    weights: np.ndarray = model.coef_[0] / scale
    return weights


def _pca(pooled: PooledActivations) -> Vectors:
    lengths = emotion_vectors(pooled)
    vectors = {}
    for emotion in pooled.emotions.names:
        differences = paired_differences(pooled, emotion)
        leading = [
            np.linalg.svd(differences[:, index], full_matrices=False)[2][0]
            for index in range(differences.shape[1])
        ]
        vectors[emotion] = np.stack(
            [
                _scaled(component * _side(component @ mean), mean)
                for component, mean in zip(leading, lengths[emotion], strict=True)
            ]
        )
    return vectors


def _side(projection: float) -> float:
    return 1.0 if projection >= 0 else -1.0


def _scaled(
    direction: Float[np.ndarray, " d_model"], like: Float[np.ndarray, " d_model"]
) -> Float[np.ndarray, " d_model"]:
    """Give a direction the length of another vector."""
    scaled: np.ndarray = direction * (np.linalg.norm(like) / np.linalg.norm(direction))
    return scaled


def _neutral_components(
    pooled: PooledActivations, n_components: int
) -> Float[np.ndarray, "layer component d_model"]:
    values = pooled.values[pooled.rows(pooled.emotions.neutral, "train")]
    most = min(len(values) - 1, values.shape[2])
    if n_components > most:
        raise InputError(
            f"neutral_components_removed {n_components}: the {len(values)} neutral training "
            f"prompts have {most} components"
        )
    centred = values - values.mean(axis=0)
    return np.stack(
        [
            np.linalg.svd(centred[:, index], full_matrices=False)[2][:n_components]
            for index in range(values.shape[1])
        ]
    )


METHODS: Final[dict[str, Callable[[PooledActivations], Vectors]]] = {
    "mean_difference": emotion_vectors,
    "against_others": _against_others,
    "probe": _probe,
    "pca": _pca,
}
