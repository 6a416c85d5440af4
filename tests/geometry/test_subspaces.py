"""Subspaces of paired differences: two backends, one definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.errors import InputError
from emotion_circuits.geometry import fit_subspace, paired_differences, pool_positions
from study_emotions import FOUR


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(4, 30),
    d=st.integers(3, 20),
    center=st.booleans(),
)
def test_torch_and_scikit_learn_agree_and_equal_an_eigendecomposition(seed, n, d, center):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, d)) * np.linspace(1, 3, d) + rng.normal(size=d)
    k = min(n - 1, d, 3)
    torch_, sklearn_ = (
        fit_subspace(data, n_components=k, center=center, backend=backend)
        for backend in ("torch", "sklearn")
    )
    np.testing.assert_allclose(torch_.components, sklearn_.components, atol=1e-6)
    np.testing.assert_allclose(torch_.explained_variance, sklearn_.explained_variance, rtol=1e-8)
    centred = data - data.mean(0) if center else data
    moments = centred.T @ centred / (n - center)
    values = np.linalg.eigvalsh(moments)[::-1]
    np.testing.assert_allclose(torch_.explained_variance, values[:k], rtol=1e-6)
    np.testing.assert_allclose(
        torch_.explained_variance_ratio, values[:k] / np.trace(moments), rtol=1e-6
    )
    np.testing.assert_allclose(torch_.components @ torch_.components.T, np.eye(k), atol=1e-9)


def test_the_first_direction_is_the_planted_one(activations):
    pooled = pool_positions(activations, FOUR)
    for place, emotion in enumerate(("gratitude", "anger", "apology")):
        first = fit_subspace(paired_differences(pooled, emotion)[:, 1], n_components=2)
        assert first.components[0, place] > 0.99  # and it points towards the emotion
        assert first.explained_variance_ratio[0] > 0.8


def test_differences_are_taken_within_pairs(activations):
    pooled = pool_positions(activations, FOUR)
    differences = paired_differences(pooled, "anger")
    row = pooled.rows("anger", "train")[5]
    partner = next(
        other
        for other in pooled.rows("neutral", "train")
        if pooled.pair_ids[other] == pooled.pair_ids[row]
    )
    np.testing.assert_array_equal(differences[5], pooled.values[row] - pooled.values[partner])


def test_neutral_texts_are_centred_on_themselves(activations):
    differences = paired_differences(pool_positions(activations, FOUR), "neutral")
    np.testing.assert_allclose(differences.mean(axis=0), 0, atol=1e-10)


def test_too_many_directions_are_refused_with_the_most_there_can_be():
    with pytest.raises(InputError, match="5 texts of width 9 allow at most 4"):
        fit_subspace(np.ones((5, 9)), n_components=5, center=True)


def test_a_text_without_partner_is_named(activations):
    pairs = list(activations["pair_ids"])
    row = next(i for i, label in enumerate(activations["labels"]) if label == "anger")
    row = next(
        i
        for i, label in enumerate(activations["labels"])
        if label == "anger" and activations["splits"][i] == "train"
    )
    pairs[row] = "nobody"
    with pytest.raises(InputError, match=f"anger text 'text {row}' has no neutral partner"):
        paired_differences(pool_positions({**activations, "pair_ids": pairs}, FOUR), "anger")
