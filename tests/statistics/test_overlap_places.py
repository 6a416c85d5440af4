"""Overlap is reported where steering acts before it is reported where it is clearest."""

import numpy as np
import pytest

from emotion_circuits.statistics import overlap_places
from emotion_circuits.statistics.overlap_places import AT_BEST, AT_STEERING
from study_emotions import FOUR


def sweep(overlaps, rng, n=199):
    """Overlaps by layer and k of anger, with shuffles about .2."""
    results = {
        layer: {
            "anger": {
                k: {"overlap_cos_squared": value, "overlap_null": rng.normal(0.2, 0.02, n)}
                for k, value in enumerate(of_layer, 1)
            }
        }
        for layer, of_layer in enumerate(overlaps)
    }
    return {"model_a": "a", "model_b": "b", "sweep_results": results}


def test_the_layer_of_steering_comes_first_and_is_corrected_for_k_alone():
    given = sweep([[0.4, 0.5], [0.21, 0.2], [0.19, 0.25]], np.random.default_rng(0))
    table = overlap_places([given], {"a": {"anger": 2}, "b": {"anger": 0}}, "p", FOUR.labels)
    assert table["where"].tolist() == [AT_STEERING, AT_BEST]
    assert table["layer"].tolist() == [2, 0]
    assert table["k"].tolist() == [2, 2]
    assert table["overlap"].tolist() == [0.25, 0.5]
    assert table["n_tests"].tolist() == [2, 6]
    leaves = given["sweep_results"][2]["anger"]
    nulls = np.stack([leaves[k]["overlap_null"] for k in (1, 2)])
    every = np.concatenate([[[0.19], [0.25]], nulls], axis=1)
    z = (every - every.mean(axis=1, keepdims=True)) / every.std(axis=1, keepdims=True)
    wanted = (1 + (z[:, 1:].max(axis=0) >= z[1, 0]).sum()) / 200
    assert table["p_value_corrected"][0] == pytest.approx(wanted)


@pytest.mark.parametrize("steered", [{}, {"a": {"apology": 1}}, {"a": {"anger": 7}}])
def test_without_a_known_layer_of_steering_the_best_layer_stands_alone(steered):
    given = sweep([[0.4], [0.2]], np.random.default_rng(0))
    assert overlap_places([given], steered, "p", FOUR.labels)["where"].tolist() == [AT_BEST]


def test_a_sweep_without_shuffles_has_no_line():
    given = sweep([[0.4]], np.random.default_rng(0))
    del given["sweep_results"][0]["anger"][1]["overlap_null"]
    assert not len(overlap_places([given], {"a": {"anger": 0}}, "p", FOUR.labels))


def test_both_places_reject_at_the_rate_of_alpha_and_find_what_is_there():
    rng = np.random.default_rng(1)
    alarms, found = [], []
    for _ in range(500):
        given = sweep(rng.normal(0.2, 0.02, (4, 3)), rng, n=99)
        table = overlap_places([given], {"a": {"anger": 3}}, "p", FOUR.labels)
        alarms.append(table["p_value_corrected"] <= 0.05)
        given["sweep_results"][3]["anger"][2]["overlap_cos_squared"] = 0.28
        table = overlap_places([given], {"a": {"anger": 3}}, "p", FOUR.labels)
        found.append(table["p_value_corrected"] <= 0.05)
    # 500 studies at 5 %, give or take three standard deviations of 1 %.
    rates = np.mean(alarms, axis=0)
    assert ((rates >= 0.02) & (rates <= 0.08)).all(), rates
    assert (np.mean(found, axis=0) >= 0.8).all(), np.mean(found, axis=0)
