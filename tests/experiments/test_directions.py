"""Controls have the length of what they control, can be made again, and point nowhere."""

import numpy as np
import pytest
import torch
from scipy import stats

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.directions import (
    project,
    random_control,
    shuffled_controls,
    vectors_at,
)
from emotion_circuits.geometry import pool_positions
from emotion_circuits.interventions import AddInSubspace
from study_emotions import FOUR

D_MODEL, LAYERS = 24, [1, 3]
LABELS = list(FOUR.labels)


@pytest.fixture(scope="module")
def activations():
    """Two layers of noise with a shift per label, in the form of phase 2's pooled result."""
    rng = np.random.default_rng(0)
    labels = LABELS * 20
    stream = rng.normal(size=(80, 2, 1, D_MODEL))
    shifts = rng.normal(size=(4, 2, D_MODEL)) * 2
    for row, label in enumerate(labels):
        stream[row, :, 0] += shifts[LABELS.index(label)]
    return {
        "prompts": [f"p{row}" for row in range(80)],
        "labels": labels,
        "pair_ids": [f"s{row // 4}" for row in range(80)],
        "splits": ["train"] * 60 + ["test"] * 20,
        "layer_indices": LAYERS,
        "resid_post": torch.from_numpy(stream),
        "metadata": {"hook_pos": ["resid_post"], "pooling": "mean"},
    }


@pytest.fixture(scope="module")
def vectors(activations):
    means = {
        label: activations["resid_post"][
            [row for row in range(60) if activations["labels"][row] == label], :, 0
        ]
        .mean(0)
        .numpy()
        for label in LABELS
    }
    return {
        "emotion_vectors": {label: means[label] - means["neutral"] for label in LABELS[:3]},
        "metadata": {
            "layer_indices": LAYERS,
            "hook_pos": "resid_post",
            "position_strategy": "mean_over_tokens",
            "split": "train",
        },
    }


def shuffle(activations, vectors, seeds):
    pooled = pool_positions(activations, FOUR, hook_point="resid_post")
    return shuffled_controls(pooled, vectors, seeds, split="train")


def test_a_random_direction_has_the_length_of_its_vector_and_comes_back_from_its_seed():
    vector = np.random.default_rng(3).normal(size=D_MODEL) * 7
    drawn = [random_control(vector, seed) for seed in range(200)]
    for control in drawn:
        assert np.linalg.norm(control.direction) == pytest.approx(np.linalg.norm(vector))
        again = np.random.default_rng(control.seed).standard_normal(D_MODEL)
        again *= np.linalg.norm(vector) / np.linalg.norm(again)
        np.testing.assert_allclose(control.direction, again)
    # Cosines of uniform directions with a fixed one: z = (c + 1)/2 is Beta((d-1)/2, (d-1)/2).
    cosines = np.array([control.cosine for control in drawn])
    beta = stats.beta((D_MODEL - 1) / 2, (D_MODEL - 1) / 2)
    assert stats.kstest((cosines + 1) / 2, beta.cdf).pvalue > 0.01


def test_a_shuffled_vector_is_the_difference_of_means_of_shuffled_labels(activations, vectors):
    at = vectors_at(vectors, "all", "resid_post")
    found = shuffle(activations, at, {"anger": [11, 12]})
    rows = [r for r in range(60) if activations["labels"][r] == "anger"]
    others = [r for r in range(60) if activations["labels"][r] == "neutral"]
    stream = activations["resid_post"][:, :, 0].numpy()
    for number, seed in enumerate((11, 12)):
        order = np.random.default_rng(seed).permutation(rows + others)
        labels = dict.fromkeys(order[:15].tolist(), 1 / 15) | dict.fromkeys(
            order[15:].tolist(), -1 / 15
        )
        difference = sum(weight * stream[row] for row, weight in labels.items())
        for place, layer in enumerate(LAYERS):
            control = found["anger", layer][number]
            length = np.linalg.norm(difference[place])
            assert control.own_norm == pytest.approx(length)
            np.testing.assert_allclose(
                control.direction,
                difference[place] * np.linalg.norm(at["anger", layer]) / length,
            )
    assert found["apology", 1] == []


def test_shuffled_vectors_are_short_and_point_either_way(activations, vectors):
    at = vectors_at(vectors, "all", "resid_post")
    found = shuffle(activations, at, {"gratitude": list(range(200))})
    controls = found["gratitude", 3]
    norm = np.linalg.norm(at["gratitude", 3])
    assert all(np.linalg.norm(c.direction) == pytest.approx(norm) for c in controls)
    assert max(c.own_norm for c in controls) < 0.7 * norm
    cosines = np.array([c.cosine for c in controls])
    assert stats.ttest_1samp(cosines, 0).pvalue > 0.01


def test_held_out_prompts_do_not_touch_shuffled_vectors(activations, vectors):
    at = vectors_at(vectors, "all", "resid_post")
    spoiled = dict(activations)
    spoiled["resid_post"] = activations["resid_post"].clone()
    spoiled["resid_post"][60:] = 1e6
    clean, changed = (shuffle(data, at, {"anger": [1]}) for data in (activations, spoiled))
    np.testing.assert_array_equal(clean["anger", 1][0].direction, changed["anger", 1][0].direction)


def test_vectors_come_by_emotion_and_layer_of_the_model(vectors):
    at = vectors_at(vectors, [3], "resid_post")
    assert set(at) == {(emotion, 3) for emotion in LABELS[:3]}
    np.testing.assert_array_equal(at["anger", 3], vectors["emotion_vectors"]["anger"][1])


def test_a_layer_without_vectors_and_another_hook_point_are_refused(vectors):
    with pytest.raises(InputError, match=r"layer '2' is not in the emotion vectors; known: 1, 3"):
        vectors_at(vectors, [2], "resid_post")
    with pytest.raises(InputError, match=r"hook_point is 'resid_pre', .* at 'resid_post'"):
        vectors_at(vectors, "all", "resid_pre")


def test_the_subspace_part_is_what_the_engines_operator_adds():
    rng = np.random.default_rng(0)
    vector, rows = rng.normal(size=D_MODEL), rng.normal(size=(3, D_MODEL))
    basis = np.linalg.qr(rows.T)[0].T
    wanted = AddInSubspace(torch.from_numpy(vector), torch.from_numpy(rows)).parameters()[0]
    np.testing.assert_allclose(project(vector, basis), wanted, atol=1e-5)
