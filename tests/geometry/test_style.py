"""Style along a direction: a planted form is found, and a label's own level tells nothing."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from emotion_circuits.geometry.style import MIN_TEXTS, read_style


def study(n=120, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(["anger", "neutral"], n // 2)
    counts = pd.DataFrame(
        {"negation": rng.integers(0, 2, n), "comma": rng.integers(0, 4, n), "quotation": 0}
    )
    return rng, labels, counts


def test_a_planted_form_is_found_on_either_side():
    rng, labels, counts = study()
    projections = rng.normal(size=120) + 2 * counts["negation"].to_numpy()
    for side in (1, -1):
        seen = read_style(side * projections, labels, counts)
        assert seen.form == "negation"
        centred = projections - np.where(
            labels == "anger", projections[:60].mean(), projections[60:].mean()
        )
        assert seen.auroc == pytest.approx(roc_auc_score(counts["negation"], centred))


def test_a_form_that_only_one_label_has_is_not_told_by_the_label():
    rng, labels, counts = study()
    counts = counts.assign(negation=(labels == "anger").astype(int), comma=0)
    projections = rng.normal(size=120) + 5 * (labels == "anger")
    assert read_style(projections, labels, counts).auroc < 0.65
    assert roc_auc_score(counts["negation"], projections) > 0.99


def test_a_rare_form_is_left_out():
    rng, labels, counts = study()
    counts = counts * 0
    counts.loc[: MIN_TEXTS - 2, "comma"] = 1
    seen = read_style(rng.normal(size=120), labels, counts)
    assert seen.form == ""
    assert np.isnan(seen.auroc)


def test_without_style_the_best_of_two_forms_is_near_a_half():
    found = []
    for seed in range(100):
        rng, labels, counts = study(seed=seed)
        found.append(read_style(rng.normal(size=120), labels, counts).auroc)
    assert 0.5 < np.mean(found) < 0.57
