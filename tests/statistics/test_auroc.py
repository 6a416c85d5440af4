"""AUROC and its interval agree with scikit-learn, resample by resample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from emotion_circuits.statistics import auroc, estimate_auroc

# Few values, so that ties are common.
SAMPLES = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30).filter(
    lambda pairs: len({positive for _, positive in pairs}) == 2
)


@given(SAMPLES)
def test_auroc_is_scikit_learns(pairs):
    scores = np.array([float(score) for score, _ in pairs])
    positive = np.array([label for _, label in pairs])
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_each_resample_is_what_a_loop_over_resamples_gives():
    data = np.random.default_rng(0)
    scores, positive = data.normal(size=23), data.random(23) < 0.4
    scores[3:6] = scores[0]
    seen = estimate_auroc(scores, positive, n_bootstrap=200, rng=np.random.default_rng(1))
    draws = np.random.default_rng(1)
    groups = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    counts = [draws.multinomial(len(g), np.full(len(g), 1 / len(g)), 200) for g in groups]
    resampled = []
    for row in range(200):
        rows = np.concatenate(
            [np.repeat(group, count[row]) for group, count in zip(groups, counts, strict=True)]
        )
        resampled.append(roc_auc_score(positive[rows], scores[rows]))
    assert seen.ci_lower == pytest.approx(np.quantile(resampled, 0.025), abs=1e-12)
    assert seen.ci_upper == pytest.approx(np.quantile(resampled, 0.975), abs=1e-12)
    assert seen.auroc == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_an_empty_class_has_no_auroc():
    estimate = estimate_auroc(
        np.arange(3.0), np.ones(3, dtype=bool), n_bootstrap=10, rng=np.random.default_rng(0)
    )
    assert all(np.isnan(value) for value in estimate)


def test_scores_that_know_nothing_are_at_one_half():
    rng = np.random.default_rng(0)
    values = [
        estimate_auroc(rng.normal(size=60), rng.random(60) < 0.5, n_bootstrap=300, rng=rng)
        for _ in range(100)
    ]
    assert np.mean([value.auroc for value in values]) == pytest.approx(0.5, abs=0.02)
    # 95 % intervals: at 100 of them, 86 to 100 lie within three standard errors.
    assert sum(value.ci_lower <= 0.5 <= value.ci_upper for value in values) >= 86


@pytest.mark.slow
def test_the_interval_covers_the_truth():
    """Normal scores one deviation apart: AUROC is Φ(1/√2) = 0.7602."""
    rng, truth, covered, studies = np.random.default_rng(0), 0.76025, 0, 1000
    for _ in range(studies):
        positive = np.arange(100) < 50
        scores = rng.normal(size=100) + positive
        estimate = estimate_auroc(scores, positive, n_bootstrap=1000, rng=rng)
        covered += estimate.ci_lower <= truth <= estimate.ci_upper
    assert 0.93 <= covered / studies <= 0.97
