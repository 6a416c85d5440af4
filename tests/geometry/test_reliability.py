"""Two halves of the prompts give the same vector as far as there is one."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from emotion_circuits.geometry import PooledActivations, emotion_vectors
from emotion_circuits.geometry.reliability import corrected_cosine, split_half_reliability
from emotion_circuits.geometry.vector_methods import fit_vectors
from emotion_circuits.prompts import halve_clusters
from emotion_circuits.seeds import rng_for
from study_emotions import FOUR

D = 30


def pooled(rng, signal, n=60, per_template=1, template_sd=0.0):
    """Prompts with an emotion's own direction and independent noise; each template has its own."""
    directions = np.eye(D)[: len(FOUR.labels)]
    labels, clusters, values = [], [], []
    for index, label in enumerate(FOUR.labels):
        shift = signal * directions[index] * (label != "neutral")
        own = rng.normal(size=(n // per_template, D)) * template_sd
        for prompt in range(n):
            labels.append(label)
            clusters.append(f"{label} {prompt // per_template}")
            values.append(shift + own[prompt // per_template] + rng.normal(size=D))
    return PooledActivations(
        values=np.array(values)[:, None],
        labels=np.array(labels),
        pair_ids=np.array([f"p{index % n}" for index in range(len(labels))]),
        splits=np.full(len(labels), "train"),
        prompts=np.array([f"text {index}" for index in range(len(labels))]),
        layer_indices=(0,),
        emotions=FOUR,
        clusters=np.array(clusters),
    )


def test_reliability_equals_a_loop_over_halves():
    given = pooled(np.random.default_rng(0), 1.0, n=24, per_template=3, template_sd=0.5)
    found = split_half_reliability(given, seed=4, n_halvings=3)["anger"]
    cosines = []
    for seed in rng_for(4, "halves_of_vectors").integers(0, 2**31, 3).tolist():
        first = halve_clusters(given.labels.tolist(), given.clusters.tolist(), seed=seed)
        assert not set(given.clusters[first]) & set(given.clusters[~first])
        halves = []
        for half in (first, ~first):
            means = [
                given.values[half & (given.labels == label), 0].mean(axis=0)
                for label in ("anger", "neutral")
            ]
            halves.append(means[0] - means[1])
        cosines.append(halves[0] @ halves[1] / np.prod(np.linalg.norm(halves, axis=1)))
    assert found.cosine[0] == pytest.approx(np.mean(cosines))
    assert found.reliability[0] == pytest.approx(2 * np.mean(cosines) / (1 + np.mean(cosines)))


def test_reliability_is_the_squared_cosine_with_the_true_vector():
    """And templates make vectors less reliable, which halves of single texts would not show."""
    rng = np.random.default_rng(1)
    for signal, template_sd, per_template in ((2.0, 0.0, 1), (4.0, 1.0, 6)):
        true, found = [], []
        for _ in range(40):
            given = pooled(rng, signal, per_template=per_template, template_sd=template_sd)
            vector = emotion_vectors(given)["anger"][0]
            axis = np.eye(D)[list(FOUR.labels).index("anger")]
            true.append((vector @ axis) ** 2 / (vector @ vector))
            found.append(split_half_reliability(given, seed=0)["anger"].reliability[0])
        assert np.mean(found) == pytest.approx(np.mean(true), abs=0.03)


def test_any_method_is_halved_by_fitting_it_on_each_half():
    given = pooled(np.random.default_rng(1), 2.0, n=16)
    fit = partial(fit_vectors, method="probe")
    found = split_half_reliability(given, seed=2, n_halvings=2, fit=fit)["gratitude"]
    cosines = []
    for seed in rng_for(2, "halves_of_vectors").integers(0, 2**31, 2).tolist():
        first = halve_clusters(given.labels.tolist(), given.clusters.tolist(), seed=seed)
        left, right = (fit(given.select(half))["gratitude"][0] for half in (first, ~first))
        cosines.append(left @ right / np.linalg.norm(left) / np.linalg.norm(right))
    assert found.cosine == pytest.approx([np.mean(cosines)])


def test_where_there_is_no_emotion_halves_do_not_agree():
    rng = np.random.default_rng(2)
    cosines = [
        split_half_reliability(pooled(rng, 0.0), seed=0)["anger"].cosine[0] for _ in range(40)
    ]
    assert stats.ttest_1samp(cosines, 0).pvalue > 0.01
    assert abs(np.mean(cosines)) < 0.05


@pytest.mark.slow
def test_the_correction_finds_the_cosine_before_independent_noise():
    rng = np.random.default_rng(3)
    seen, corrected = [], []
    for _ in range(40):
        one, two = (pooled(rng, 2.0) for _ in range(2))
        pair = [emotion_vectors(each)["anger"][0] for each in (one, two)]
        seen.append(pair[0] @ pair[1] / np.prod(np.linalg.norm(pair, axis=1)))
        reliable = [
            split_half_reliability(each, seed=0)["anger"].reliability[0] for each in (one, two)
        ]
        corrected.append(corrected_cosine(seen[-1], *reliable))
    # The true cosine is 1.
    assert np.mean(seen) < 0.85
    assert np.mean(corrected) == pytest.approx(1, abs=0.05)


def test_too_few_clusters_give_nan():
    found = split_half_reliability(pooled(np.random.default_rng(0), 1.0, n=1), seed=0)
    assert np.isnan(found["anger"].reliability).all()
