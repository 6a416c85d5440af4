"""Intervals of the gates against scipy and loops over clusters, and how often they cover."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import recall_score, roc_auc_score

from emotion_circuits.training.gates.evaluators import _macro_auroc, _macro_recall
from emotion_circuits.training.gates.heads import _means, _ratio
from emotion_circuits.training.gates.intervals import bootstrap_cell


def mean_of(values):
    return lambda weights: weights @ values / weights.sum(axis=1)


def test_intervals_agree_with_scipys_bca():
    values = np.random.default_rng(0).exponential(1, 400)
    found = bootstrap_cell(mean_of(values), np.arange(400), rng=np.random.default_rng(1))
    wanted = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    spread = wanted.high - wanted.low
    assert found["value"] == pytest.approx(values.mean(), abs=1e-4)
    assert found["ci_lower"] == pytest.approx(wanted.low, abs=0.08 * spread)
    assert found["ci_upper"] == pytest.approx(wanted.high, abs=0.08 * spread)


def test_two_groups_are_resampled_independently():
    rng = np.random.default_rng(0)
    first, second = rng.normal(3, 1, 200), rng.normal(2, 1, 300)
    found = bootstrap_cell(
        lambda a, b: mean_of(first)(a) / mean_of(second)(b),
        *(np.arange(200), np.arange(300)),
        rng=np.random.default_rng(1),
    )
    wanted = stats.bootstrap(
        (first, second),
        lambda a, b, axis: a.mean(axis) / b.mean(axis),
        n_resamples=9999,
        method="BCa",
        rng=np.random.default_rng(2),
    ).confidence_interval
    spread = wanted.high - wanted.low
    assert found["ci_lower"] == pytest.approx(wanted.low, abs=0.08 * spread)
    assert found["ci_upper"] == pytest.approx(wanted.high, abs=0.08 * spread)


@pytest.mark.parametrize(("together", "wanted"), [(True, (0.9, 0.98)), (False, (0.3, 0.75))])
def test_only_intervals_over_clusters_cover(together, wanted):
    """Four samples a cluster share a skewed effect; its mean is 0."""
    rng, covered = np.random.default_rng(0), 0
    codes = np.repeat(np.arange(15), 4)
    for trial in range(200):
        values = (rng.exponential(1, 15) - 1)[codes] + 0.2 * rng.normal(size=60)
        units = codes if together else np.arange(60)
        found = bootstrap_cell(mean_of(values), units, rng=np.random.default_rng(trial))
        covered += found["ci_lower"] <= 0 <= found["ci_upper"]
    assert wanted[0] <= covered / 200 <= wanted[1]


def test_few_clusters_have_no_interval_and_undefined_resamples_are_left_out():
    values = np.arange(6.0)
    few = bootstrap_cell(mean_of(values), np.repeat([0, 1], 3), rng=np.random.default_rng(0))
    assert few["value"] == 2.5
    assert np.isnan(few["ci_lower"])

    def undefined_without_first(weights):
        return np.where(weights[:, 0] > 0, mean_of(values)(weights), np.nan)

    found = bootstrap_cell(undefined_without_first, np.arange(6), rng=np.random.default_rng(0))
    assert found["ci_lower"] < 2.5 < found["ci_upper"]


def test_weights_stand_for_repeated_texts():
    """Scores of the evaluators against those of the texts, written out as often as drawn."""
    rng = np.random.default_rng(0)
    targets = np.eye(3, dtype=bool)[np.arange(30) % 3]
    scores = targets + rng.normal(size=(30, 3))
    truth, guess = targets.argmax(axis=1), scores.argmax(axis=1)
    drawn = rng.integers(0, 30, (5, 30))
    weights = np.stack([np.bincount(line, minlength=30) for line in drawn]).astype(float)
    macro = _macro_auroc(targets, scores, weights)
    recall = _macro_recall(truth, guess, weights)
    for index, line in enumerate(drawn):
        wanted = roc_auc_score(targets[line], scores[line])
        assert macro[index] == pytest.approx(wanted)
        wanted = recall_score(truth[line], guess[line], average="macro")
        assert recall[index] == pytest.approx(wanted)
    lacking = np.where(truth == 0, 0.0, 1.0)[None]
    assert np.isnan(_macro_auroc(targets, scores, lacking)).all()
    assert np.isnan(_macro_recall(truth, guess, lacking)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("n_templates", "least"), [(12, 0.65), (24, 0.78)])
def test_the_ratio_of_a_head_to_the_median_head_is_covered_far_more_often_than_by_percentiles(
    n_templates, least
):
    """Noise makes the median of absolute means too large, in each resample once more."""
    rng = np.random.default_rng(0)
    true = np.concatenate([[0.4], rng.normal(0, 0.05, 19)])
    wanted, codes = _ratio(np.abs(true), 0), np.repeat(np.arange(n_templates), 4)
    covered = {"bca": 0, "percentile": 0}
    for trial in range(200):
        shared = 0.15 * rng.normal(size=(20, n_templates))[:, codes]
        changes = true[:, None] + shared + 0.1 * rng.normal(size=(20, len(codes)))

        def ratios(weights, changes=changes):
            return np.array([_ratio(row, 0) for row in np.abs(_means(weights, changes.T))])

        found = bootstrap_cell(ratios, codes, rng=np.random.default_rng(trial))
        drawn = rng.multinomial(n_templates, np.full(n_templates, 1 / n_templates), 1000)
        lower, upper = np.quantile(ratios(drawn[:, codes].astype(float)), [0.025, 0.975])
        covered["bca"] += found["ci_lower"] <= wanted <= found["ci_upper"]
        covered["percentile"] += lower <= wanted <= upper
    assert covered["bca"] / 200 >= least
    assert covered["percentile"] < covered["bca"] - 10
