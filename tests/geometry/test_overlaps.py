"""Draws of overlaps belong to a label, and not to its place among the others."""

import numpy as np
import pytest

from emotion_circuits.geometry.maps import MapOptions, fit_map
from emotion_circuits.geometry.overlaps import Both, LayerPair, measure_overlaps
from study_emotions import FOUR


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    neutral = Both(rng.normal(size=(30, 1, 6)), rng.normal(size=(30, 1, 5)))
    pairs = {
        label: Both(rng.normal(size=(14, 6)), rng.normal(size=(14, 5))) for label in FOUR.names
    }
    shuffles = np.stack([rng.permutation(30) for _ in range(9)])
    return neutral, pairs, shuffles


def measure(parts, labels, seed=0):
    neutral, pairs, shuffles = parts
    layer = LayerPair(neutral, {label: pairs[label] for label in labels}, {}, FOUR.names)
    return measure_overlaps(
        layer,
        fit_map(*neutral, MapOptions()),
        shuffles,
        k_max=3,
        center=False,
        n_splits=5,
        n_resamples=6,
        seed=seed,
        options=MapOptions(),
    )


def test_a_label_has_the_same_draws_whatever_others_there_are(parts):
    every = measure(parts, FOUR.names)
    for labels in (FOUR.names[::-1], FOUR.names[1:]):
        found = measure(parts, labels)
        for label in labels:
            for name in ("null", "resampled", "split", "ceiling"):
                wanted = getattr(every[label], name)
                np.testing.assert_allclose(getattr(found[label], name), wanted, atol=1e-12)


def test_the_seed_decides_resamples_and_halves_and_nothing_else(parts):
    one, two = measure(parts, FOUR.names), measure(parts, FOUR.names, seed=1)
    for label in FOUR.names:
        for name in ("before", "after", "null", "other"):
            np.testing.assert_array_equal(getattr(one[label], name), getattr(two[label], name))
        for name in ("resampled", "split", "ceiling"):
            assert not np.allclose(getattr(one[label], name), getattr(two[label], name))
