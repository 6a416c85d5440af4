"""AUROC agrees with scikit-learn, its interval with a search, and it covers the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from emotion_circuits.statistics import auroc, estimate_auroc
from emotion_circuits.statistics.auroc import design_effect

# Few values, so that ties are common.
SAMPLES = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30).filter(
    lambda pairs: len({positive for _, positive in pairs}) == 2
)


@given(SAMPLES)
def test_auroc_is_scikit_learns(pairs):
    scores = np.array([float(score) for score, _ in pairs])
    positive = np.array([label for _, label in pairs])
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0, 9.0])
def test_the_ends_are_as_far_away_as_their_own_errors_allow(shift):
    """Newcombe's method 5, by a search over a fine grid. At 9 the classes are apart."""
    rng = np.random.default_rng(0)
    positive = np.arange(26) < 10
    scores = rng.normal(size=26) + shift * positive
    seen = estimate_auroc(scores, positive)
    theta = np.linspace(0, 1, 1_000_001)[1:-1]
    # (n₁ + n₀) / 2 - 1 = 12 others.
    factor = 1 + 12 * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    error = np.sqrt(theta * (1 - theta) * factor / 160)
    inside = theta[np.abs(theta - seen.auroc) <= 1.959964 * error]
    assert seen.ci_lower == pytest.approx(inside.min(), abs=2e-6)
    assert seen.ci_upper == pytest.approx(inside.max(), abs=2e-6)


def test_perfect_separation_leaves_doubt_that_shrinks_with_the_number_of_texts():
    lowers = []
    for n in (20, 60, 200):
        positive = np.arange(n) < n // 2
        seen = estimate_auroc(np.arange(n)[::-1].astype(float), positive)
        assert seen.auroc == seen.ci_upper == 1
        lowers.append(seen.ci_lower)
    assert lowers == sorted(lowers)
    assert lowers[0] == pytest.approx(0.80, abs=0.005)
    turned = estimate_auroc(np.arange(20.0), np.arange(20) < 10)
    assert (turned.ci_lower, turned.auroc) == (0, 0)
    assert turned.ci_upper == pytest.approx(1 - lowers[0], abs=1e-9)


def obuchowski(scores, positive, clusters):
    """Her variance over clusters by loops over clusters and pairs of texts."""
    up, down = scores[positive], scores[~positive]
    wins = np.array([[(a > b) + 0.5 * (a == b) for b in down] for a in up])
    theta, names = wins.mean(), np.unique(clusters)
    n_1, n_0, total = len(up), len(down), 0.0
    for name in names:
        own_1 = sum(wins[i].mean() - theta for i in np.flatnonzero(clusters[positive] == name))
        own_0 = sum(wins[:, j].mean() - theta for j in np.flatnonzero(clusters[~positive] == name))
        total += (own_1 / n_1 + own_0 / n_0) ** 2
    delong = wins.mean(axis=1).var(ddof=1) / n_1 + wins.mean(axis=0).var(ddof=1) / n_0
    return total * len(names) / (len(names) - 1), delong


def test_the_design_effect_is_obuchowskis_variance_over_delongs():
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(8), 5)
    positive = np.arange(40) % 3 == 0
    scores = rng.normal(size=8)[clusters] + 0.5 * rng.normal(size=40) + positive
    scores[3] = scores[8]
    together, alone = obuchowski(scores, positive, clusters)
    # The scores' clusters have texts of both classes, which cancels some of the variance.
    seen = design_effect(scores, positive, clusters)
    assert seen == pytest.approx(max(1.0, together / alone), rel=1e-10)
    of_one = np.repeat(np.arange(8), 5)
    positive = of_one % 2 == 0
    together, alone = obuchowski(scores, positive, of_one)
    assert design_effect(scores, positive, of_one) == pytest.approx(together / alone, rel=1e-10)
    assert together > 2 * alone


def test_clusters_of_one_text_are_no_clusters():
    rng = np.random.default_rng(2)
    positive = np.arange(30) < 15
    scores = rng.normal(size=30) + positive
    assert design_effect(scores, positive, np.arange(30)) == pytest.approx(1, abs=0.05)


def test_a_class_of_one_cluster_says_nothing():
    positive = np.arange(12) < 6
    seen = estimate_auroc(np.arange(12.0), positive, clusters=np.arange(12) // 6)
    assert (seen.ci_lower, seen.ci_upper) == (0, 1)


def test_an_empty_class_has_no_auroc():
    estimate = estimate_auroc(np.arange(3.0), np.ones(3, dtype=bool))
    assert all(np.isnan(value) for value in estimate)


def test_scores_that_know_nothing_are_at_one_half():
    rng = np.random.default_rng(0)
    values = [estimate_auroc(rng.normal(size=60), rng.random(60) < 0.5) for _ in range(100)]
    assert np.mean([value.auroc for value in values]) == pytest.approx(0.5, abs=0.02)
    # 95 % intervals: at 100 of them, 86 to 100 lie within three standard errors.
    assert sum(value.ci_lower <= 0.5 <= value.ci_upper for value in values) >= 86


def coverage(truth, n, *, size=1, both=False, studies=1000, clustered=True):
    """Share of intervals that cover Φ(shift / √2); half of the variance is the cluster's."""
    rng = np.random.default_rng([n, int(1000 * truth), size])
    shift, covered = np.sqrt(2) * stats.norm.ppf(truth), 0
    clusters = np.repeat(np.arange(n // size), size)
    positive = (np.arange(n) if both else clusters) % 2 == 0
    for _ in range(studies):
        own = rng.normal(size=(n // size, 2))[clusters, positive.astype(int)]
        if size == 1:
            own = rng.normal(size=n)
        scores = np.sqrt(0.5) * (own + rng.normal(size=n)) + shift * positive
        units = clusters if size > 1 and clustered else None
        seen = estimate_auroc(scores, positive, clusters=units)
        covered += seen.ci_lower <= truth <= seen.ci_upper
    return covered / studies


@pytest.mark.parametrize(("truth", "n"), [(0.5, 20), (0.96, 20), (0.8, 60), (0.99, 20)])
def test_the_interval_covers_the_truth(truth, n):
    assert coverage(truth, n, studies=400) >= 0.92


@pytest.mark.slow
def test_the_interval_covers_over_clusters_where_texts_alone_do_not():
    assert coverage(0.8, 60, size=5, studies=400) >= 0.92
    assert coverage(0.8, 60, size=5, studies=400, clustered=False) < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.5, 0.8, 0.96, 0.99])
@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize(("size", "both"), [(1, False), (5, False), (4, True)])
def test_the_interval_covers_the_truth_for_any_number_of_texts(truth, n, size, both):
    assert coverage(truth, n, size=size, both=both) >= 0.93
