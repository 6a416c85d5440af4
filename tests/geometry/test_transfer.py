"""What a mapped vector reads, beside random vectors and maps of shuffled pairs."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from emotion_circuits.geometry.transfer import measure_reading, measure_transfer
from emotion_circuits.statistics import estimate_auroc


def measured(positive, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(len(positive), 4)) + 1.5 * positive[:, None] * np.eye(4)[0]
    vectors = {"mapped": np.eye(4)[0] + 0.3, "own": np.eye(4)[0]}
    drawn = {"random": rng.normal(size=(9, 4)), "shuffled": rng.normal(size=(19, 4))}
    return rows, drawn, measure_transfer(rows, positive, clusters=None, **vectors, **drawn)


def test_p_is_the_rank_of_the_mapped_vector_among_maps_of_shuffled_pairs():
    positive = np.arange(40) < 15
    rows, drawn, found = measured(positive)
    readings = [
        mannwhitneyu(*((rows @ vector)[chosen] for chosen in (positive, ~positive))).statistic / 375
        for vector in drawn["shuffled"]
    ]
    assert found.auroc_shuffled_mean == pytest.approx(np.mean(readings))
    assert found.p_value == (1 + sum(one >= found.auroc_mapped for one in readings)) / 20
    assert found.ci_lower < found.auroc_mapped < found.ci_upper


def test_without_prompts_of_the_emotion_there_is_neither_reading_nor_p():
    _, _, found = measured(np.zeros(12, dtype=bool))
    assert np.isnan(found.auroc_mapped)
    assert np.isnan(found.p_value)


def test_the_interval_is_over_clusters():
    """Texts of a template repeat each other: sixty of twenty templates are twenty texts."""
    rng = np.random.default_rng(0)
    positive, clusters = np.arange(60) % 6 < 3, np.arange(60) // 3
    rows = rng.normal(size=(20, 4))[clusters]
    rows[positive, 0] += 1
    vectors = {"mapped": np.eye(4)[0], "own": np.eye(4)[0], "shuffled": rng.normal(size=(3, 4))}
    found = measure_reading(rows, positive, clusters=clusters, **vectors).mapped
    once = measure_reading(rows[::3], positive[::3], clusters=None, **vectors).mapped
    alone = measure_reading(rows, positive, clusters=None, **vectors).mapped
    assert found.auroc == alone.auroc == once.auroc
    assert found == estimate_auroc(rows[:, 0], positive, clusters=clusters)
    assert found.ci_upper - found.ci_lower == pytest.approx(once.ci_upper - once.ci_lower, rel=0.2)
    assert alone.ci_upper - alone.ci_lower < 0.75 * (found.ci_upper - found.ci_lower)
