"""Each method finds what is planted, and leaves out what it promises to leave out."""

import dataclasses

import numpy as np
import pytest
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emotion_circuits.errors import InputError
from emotion_circuits.geometry.directions import PooledActivations, emotion_vectors
from emotion_circuits.geometry.vector_methods import METHODS, common_share, fit_vectors
from study_emotions import FOUR

D_MODEL, N_LAYERS = 24, 2
EVENTFUL = 5  # the axis on which every emotion differs from neutral alike


def planted(n_scenarios=60, common=3.0, topic=4.0, seed=0):
    """Emotion i along axis i; all emotions along EVENTFUL; each scenario's topic in all labels."""
    rng = np.random.default_rng(seed)
    values, labels, pairs = [], [], []
    for scenario in range(n_scenarios):
        shift = np.zeros((N_LAYERS, D_MODEL))
        shift[:, 6:12] = topic * rng.normal(size=6)
        for place, label in enumerate(FOUR.labels):
            value = shift + 0.5 * rng.normal(size=(N_LAYERS, D_MODEL))
            if label != FOUR.neutral:
                value[:, place] += 2.0
                value[:, EVENTFUL] += common
            values.append(value)
            labels.append(label)
            pairs.append(f"p{scenario}")
    return PooledActivations(
        values=np.array(values),
        labels=np.array(labels),
        pair_ids=np.array(pairs),
        splits=np.array(["train"] * len(labels)),
        prompts=np.array([f"text {index}" for index in range(len(labels))], dtype=object),
        layer_indices=tuple(range(N_LAYERS)),
        emotions=FOUR,
    )


def unit(vector):
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_points_to_its_emotion(method):
    vectors = fit_vectors(planted(common=0.0), method)
    assert list(vectors) == list(FOUR.names)
    for place, vector in enumerate(vectors.values()):
        assert vector.shape == (N_LAYERS, D_MODEL)
        assert (unit(vector)[:, place] > 0.8).all()


def test_what_all_emotions_share_is_reduced_only_against_the_others():
    pooled = planted()
    share = {method: common_share(fit_vectors(pooled, method)) for method in METHODS}
    # Each has 2 on an axis of its own and 3 on the common one: (4/3 + 9) / (4 + 9).
    assert share["mean_difference"] == pytest.approx([0.795, 0.795], abs=0.03)
    # Against the other three labels the common axis has 3 − 2 = 1, the own 2, others −2/3 each.
    assert (share["against_others"] < 0.3).all()


def test_a_scenarios_topic_drops_out_of_the_vector():
    """Half of the scenarios lack anger; their topic must not enter its vector."""
    pooled = planted(topic=4.0)
    number = np.array([int(pair[1:]) for pair in pooled.pair_ids])
    pooled.values[number % 2 == 1, :, 12] += 50.0
    kept = ~((pooled.labels == "anger") & (number % 2 == 1))
    fields = ("values", "labels", "pair_ids", "splits", "prompts")
    without = dataclasses.replace(pooled, **{name: getattr(pooled, name)[kept] for name in fields})
    assert abs(fit_vectors(without, "mean_difference")["anger"][0, 12]) > 20
    assert abs(fit_vectors(without, "against_others")["anger"][0, 12]) < 0.5


def test_against_others_is_the_definition_in_loops():
    pooled = planted(n_scenarios=7)
    wanted = []
    for scenario in range(7):
        of = {
            label: pooled.values[(pooled.pair_ids == f"p{scenario}") & (pooled.labels == label)][0]
            for label in FOUR.labels
        }
        own = of.pop("apology")
        wanted.append(own - sum(of.values()) / 3)
    np.testing.assert_allclose(
        fit_vectors(pooled, "against_others")["apology"], np.mean(wanted, axis=0), atol=1e-12
    )


def test_probe_weights_are_those_of_a_pipeline_in_the_units_of_the_activations():
    pooled = planted()
    vector = fit_vectors(pooled, "probe")["gratitude"][1]
    rows = np.isin(pooled.labels, ["gratitude", "neutral"])
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    values = pooled.values[rows, 1]
    probe.fit(values, pooled.labels[rows] == "gratitude")
    # Moving along the weights in the activations' units changes the log-odds as the probe says.
    basis = np.eye(D_MODEL)
    slope = probe.decision_function(basis) - probe.decision_function(np.zeros((1, D_MODEL)))
    np.testing.assert_allclose(unit(vector), unit(slope), atol=1e-6)


def test_pca_is_the_first_uncentred_component_on_the_emotions_side():
    pooled = planted(common=0.0)
    vector = fit_vectors(pooled, "pca")["anger"][0]
    own = pooled.values[pooled.labels == "anger", 0]
    neutral = pooled.values[pooled.labels == "neutral", 0]
    component = TruncatedSVD(1, algorithm="arpack", random_state=0).fit(own - neutral).components_
    assert abs(unit(vector) @ component[0]) == pytest.approx(1, abs=1e-6)
    assert vector @ emotion_vectors(pooled)["anger"][0] > 0


@pytest.mark.parametrize("method", ["probe", "pca"])
def test_methods_without_a_length_take_that_of_the_mean_difference(method):
    pooled = planted()
    means = emotion_vectors(pooled)
    for emotion, vector in fit_vectors(pooled, method).items():
        np.testing.assert_allclose(
            np.linalg.norm(vector, axis=1), np.linalg.norm(means[emotion], axis=1)
        )


@pytest.mark.parametrize("method", METHODS)
def test_held_out_prompts_touch_no_vector(method):
    pooled = planted()
    held_out = np.isin(pooled.pair_ids, [f"p{number}" for number in range(40, 60)])
    pooled.splits[held_out] = "test"
    before = fit_vectors(pooled, method, neutral_components_removed=2)
    pooled.values[held_out] += 100
    for emotion, vector in fit_vectors(pooled, method, neutral_components_removed=2).items():
        np.testing.assert_array_equal(vector, before[emotion])


def test_removed_components_are_those_of_the_neutral_texts():
    pooled = planted()
    vectors = fit_vectors(pooled, neutral_components_removed=6)
    for layer in range(N_LAYERS):
        components = PCA(6).fit(pooled.values[pooled.labels == "neutral", layer]).components_
        for emotion, mean in emotion_vectors(pooled).items():
            np.testing.assert_allclose(components @ vectors[emotion][layer], 0, atol=1e-9)
            # Nothing else is taken away.
            kept = mean[layer] - components.T @ (components @ mean[layer])
            np.testing.assert_allclose(vectors[emotion][layer], kept, atol=1e-9)


def test_the_common_share_of_equal_unrelated_and_balanced_vectors():
    one = np.eye(4)[None, 0]
    assert common_share({"a": one, "b": one}) == pytest.approx([1.0])
    assert common_share({"a": np.eye(4)[None, 0], "b": np.eye(4)[None, 1]}) == pytest.approx([0.5])
    assert common_share({"a": one, "b": -one}) == pytest.approx([0.0])


def test_bad_choices_are_named():
    pooled = planted(n_scenarios=4)
    with pytest.raises(InputError, match=r"against_other'.*nearest: against_others"):
        fit_vectors(pooled, "against_other")
    with pytest.raises(InputError, match=r"neutral_components_removed 9: the 4 neutral .* 3 comp"):
        fit_vectors(pooled, neutral_components_removed=9)
    alone = dataclasses.replace(pooled, pair_ids=np.array([""] * len(pooled.labels)))
    with pytest.raises(InputError, match="against_others needs a pair_id for every prompt"):
        fit_vectors(alone, "against_others")
