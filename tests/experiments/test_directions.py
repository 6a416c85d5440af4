"""Controls have the length of what they control, can be made again, and point nowhere."""

import numpy as np
import pytest
import torch
from scipy import stats

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.directions import (
    covariance_control,
    covariance_controls,
    covariance_directions,
    measured_activations,
    project,
    random_control,
    shuffled_controls,
    vectors_at,
)
from emotion_circuits.geometry import pool_positions
from emotion_circuits.interventions import AddInSubspace
from emotion_circuits.statistics import rank_p
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


def test_controls_are_drawn_from_the_texts_that_vectors_were_measured_on(activations, vectors):
    """Vectors of some scenarios have controls that no other text touches."""
    chosen = ["s1", "s2", "s5", "s8", "s9"]
    of_some = {**vectors, "metadata": {**vectors["metadata"], "scenarios": chosen}}
    changed = {**activations, "resid_post": activations["resid_post"].clone()}
    others = torch.tensor([pair not in chosen for pair in activations["pair_ids"]])
    changed["resid_post"][others] += 100 * torch.randn(int(others.sum()), 2, 1, D_MODEL).double()
    wanted = {key: np.ones(D_MODEL) for key in [("anger", 1), ("apology", 3)]}
    before, after = (
        measured_activations(given, of_some, FOUR, wanted) for given in (activations, changed)
    )
    np.testing.assert_array_equal(before.values, after.values)
    assert sorted(set(before.pair_ids)) == chosen
    assert before.layer_indices == (1, 3)
    everything = measured_activations(changed, vectors, FOUR, wanted)
    assert len(everything.labels) == len(activations["labels"])


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


def with_covariance(deviations, n=400):
    """Activations whose sample covariance is exactly diagonal, about a mean far from zero."""
    noise = np.random.default_rng(5).normal(size=(n, len(deviations)))
    orthonormal = np.linalg.qr(noise - noise.mean(axis=0))[0]
    return 50.0 + orthonormal * np.sqrt(n - 1) * deviations


def cosines_with(axis, directions):
    return directions @ axis / np.linalg.norm(directions, axis=1) / np.linalg.norm(axis)


def test_directions_of_a_covariance_have_that_covariance():
    """Against numpy's covariance, and against draws of scipy's multivariate normal."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)) + 7.0
    drawn = covariance_directions(values, 40_000, np.random.default_rng(1))
    wanted = np.cov(values, rowvar=False)
    scale = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    # An entry of a sample covariance of 40,000 has an error of about scale / √20,000.
    assert np.abs((np.cov(drawn, rowvar=False) - wanted) / scale).max() < 5 / np.sqrt(20_000)
    assert np.abs(drawn.mean(axis=0) / np.sqrt(np.diag(wanted))).max() < 5 / np.sqrt(40_000)
    other = stats.multivariate_normal(np.zeros(6), wanted).rvs(4000, random_state=2)
    axis = rng.normal(size=6)
    assert stats.ks_2samp(cosines_with(axis, drawn[:4000]), cosines_with(axis, other)).pvalue > 0.01


def test_where_the_covariance_is_isotropic_its_directions_are_uniform_ones():
    values = with_covariance(np.ones(D_MODEL))
    vector = np.random.default_rng(3).normal(size=D_MODEL) * 7
    drawn = [covariance_control(vector, values, seed) for seed in range(1000)]
    cosines = np.array([control.cosine for control in drawn])
    beta = stats.beta((D_MODEL - 1) / 2, (D_MODEL - 1) / 2)
    assert stats.kstest((cosines + 1) / 2, beta.cdf).pvalue > 0.01
    uniform = [random_control(vector, 10_000 + seed).cosine for seed in range(1000)]
    assert stats.ks_2samp(cosines, uniform).pvalue > 0.01


def test_a_direction_that_dominates_the_activations_dominates_the_draws():
    """Variance 100 along one axis and 1 along the others: 100 / 123 of the draws' variance."""
    deviations = np.ones(D_MODEL)
    deviations[4] = 10.0
    vector = np.ones(D_MODEL)
    drawn = covariance_directions(with_covariance(deviations), 2000, np.random.default_rng(0))
    assert (drawn[:, 4] ** 2).sum() / (drawn**2).sum() == pytest.approx(100 / 123, abs=0.02)
    along = np.abs(cosines_with(np.eye(D_MODEL)[4], drawn))
    uniform = [random_control(vector, seed).direction for seed in range(500)]
    assert np.median(along) > 0.75
    assert np.median(np.abs(cosines_with(np.eye(D_MODEL)[4], np.array(uniform)))) < 0.2


def test_directions_of_a_covariance_are_of_the_vectors_texts_and_come_back_from_their_seeds(
    activations, vectors
):
    at = vectors_at(vectors, "all", "resid_post")
    seeds = {place: [1, 2] for place in at}
    found = {}
    for name, scale in (("clean", 1.0), ("spoiled", 1e6)):
        data = dict(activations)
        data["resid_post"] = activations["resid_post"].clone()
        data["resid_post"][60:] *= scale  # held-out prompts
        pooled = pool_positions(data, FOUR, hook_point="resid_post")
        found[name] = covariance_controls(pooled, at, seeds, split="train")
    for (emotion, layer), controls in found["clean"].items():
        stream = activations["resid_post"][:60, LAYERS.index(layer), 0].numpy()
        norm = np.linalg.norm(at[emotion, layer])
        for control, again in zip(controls, found["spoiled"][emotion, layer], strict=True):
            np.testing.assert_array_equal(control.direction, again.direction)
            weights = np.random.default_rng(control.seed).standard_normal(60)
            direction = sum(
                w * row for w, row in zip(weights, stream - stream.mean(0), strict=True)
            )
            direction *= norm / np.linalg.norm(direction)
            np.testing.assert_allclose(control.direction, direction)


def studies(law, controls, readout, n_studies, n_controls=20, d_model=32):
    """Rank p of a direction among controls, where an effect is a bent function of the direction.

    Effects of all directions are means over the same texts, so they share part of their error.
    """
    deviations = np.ones(d_model)
    deviations[:2] = 8.0, 4.0
    values = with_covariance(deviations, n=120)
    axis = np.zeros(d_model)
    axis[0] = 1.0
    draw = {
        "covariance": lambda n, rng: covariance_directions(values, n, rng),
        "uniform": lambda n, rng: rng.standard_normal((n, d_model)),
        "readout": lambda n, rng: axis + 0.05 * rng.standard_normal((n, d_model)),
    }
    p = []
    for study in range(n_studies):
        rng = np.random.default_rng([study, 17])
        directions = np.concatenate([draw[law](1, rng), draw[controls](n_controls, rng)])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        texts = rng.normal(size=(len(directions), 25)) * 0.1 + rng.normal(size=25)
        effects = np.tanh(4 * directions @ readout)[:, None] + texts
        p.append(float(rank_p(effects[0].mean(), effects[1:].mean(axis=1))))
    return np.array(p)


def test_the_rank_among_directions_of_the_same_law_keeps_its_level():
    """The null of a reader: the emotion's vector is one more direction of natural variation."""
    readout = np.random.default_rng(1).normal(size=32) * 0.2
    readout[0] = 1.0  # later layers read where the stream varies most
    same = studies("covariance", "covariance", readout, 3000)
    # 3,000 studies of p = 1/21 = 4.8 %, with three standard deviations of 0.4 %.
    assert 0.035 <= (same <= 0.05).mean() <= 0.06
    assert (
        stats.kstest(same - np.random.default_rng(0).uniform(0, 1 / 21, 3000), "uniform").pvalue
        > 0.01
    )


def test_uniform_directions_alone_would_call_natural_variation_an_effect():
    """Why both ranks are given: against uniform directions, natural variation passes too often."""
    readout = np.zeros(32)
    readout[0] = 1.0
    against_uniform = studies("covariance", "uniform", readout, 500)
    assert (against_uniform <= 0.05).mean() > 0.3
    assert (studies("uniform", "uniform", readout, 1000) <= 0.05).mean() <= 0.07


def test_a_planted_effect_is_found_against_both_kinds_of_directions():
    readout = np.zeros(32)
    readout[20] = 3.0  # along an axis of small variance
    vector = np.eye(32)[20]
    values = with_covariance(np.r_[8.0, 4.0, np.ones(30)], n=120)
    found = []
    for seed in range(200):
        controls = {
            "uniform": [random_control(vector, 1000 * seed + n) for n in range(20)],
            "covariance": [covariance_control(vector, values, 1000 * seed + n) for n in range(20)],
        }
        found.append(
            [
                float(
                    rank_p(np.tanh(vector @ readout), np.tanh([c.direction @ readout for c in of]))
                )
                for of in controls.values()
            ]
        )
    assert (np.array(found) <= 0.05).mean(axis=0).min() >= 0.95
