"""Paired effects against scipy and against loops; intervals cover; nothing comes out of nothing."""

import numpy as np
import pytest
from scipy import stats

from emotion_circuits.statistics.bootstrap import bca_ends, expanded_level
from emotion_circuits.statistics.metric_effects import metric_effects, resampled_counts


def draw(n=40, metrics=3, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    baseline = rng.normal(size=(n, metrics))
    return baseline, baseline + rng.normal(shift, 1.0, size=(n, metrics))


def test_d_is_that_of_the_paired_t_test():
    baseline, patched = draw(shift=0.4)
    effects = metric_effects(baseline, patched, resampled_counts(40, 50, 0))
    t = stats.ttest_rel(patched, baseline).statistic
    np.testing.assert_allclose(effects.cohen_d, t / np.sqrt(40))
    np.testing.assert_allclose(effects.mean_diff, patched.mean(0) - baseline.mean(0))
    np.testing.assert_allclose(effects.mean_patched - effects.mean_baseline, effects.mean_diff)


def test_intervals_are_those_of_a_loop_over_resamples():
    baseline, patched = draw(n=12, shift=0.4)
    counts = resampled_counts(12, 200, 3)
    effects = metric_effects(baseline, patched, counts)
    differences = patched - baseline
    means, ds = [], []
    for row in counts.astype(int):
        sample = np.repeat(differences, row, axis=0)
        means.append(sample.mean(0))
        ds.append(sample.mean(0) / sample.std(0, ddof=1))
    knives = [np.delete(differences, index, axis=0) for index in range(12)]
    for lower, upper, resampled, statistic in (
        (effects.ci_lower, effects.ci_upper, means, lambda x: x.mean(0)),
        (effects.d_lower, effects.d_upper, ds, lambda x: x.mean(0) / x.std(0, ddof=1)),
    ):
        knife = np.array([statistic(left) for left in knives]).T
        # Read further out, as a t interval of 12 is wider than a normal one.
        level = expanded_level(0.95, 11)
        ends = bca_ends(np.array(resampled).T, statistic(differences), [knife], level)
        np.testing.assert_allclose([lower, upper], ends, rtol=1e-7)


def test_d_over_both_deviations_is_that_of_two_groups():
    baseline, patched = draw(shift=0.4)
    effects = metric_effects(baseline, patched, resampled_counts(40, 50, 0))
    pooled = np.sqrt((baseline.var(0, ddof=1) + patched.var(0, ddof=1)) / 2)
    np.testing.assert_allclose(effects.cohen_d_pooled, (patched - baseline).mean(0) / pooled)


def test_clusters_widen_intervals_and_change_no_estimate():
    baseline, patched = draw(n=60, shift=0.4)
    clusters = np.repeat(np.arange(12), 5)
    patched += np.random.default_rng(1).normal(size=(12, 3))[clusters]
    alone = metric_effects(baseline, patched, resampled_counts(60, 1000, 0))
    counts = resampled_counts(60, 1000, 0, clusters)
    together = metric_effects(baseline, patched, counts, clusters)
    np.testing.assert_array_equal(alone.cohen_d, together.cohen_d)
    widths = [(of.d_upper - of.d_lower).mean() for of in (alone, together)]
    assert widths[1] > 1.3 * widths[0]


def test_intervals_agree_with_scipys_bootstrap():
    baseline, patched = draw(n=60, metrics=1, shift=0.3)
    effects = metric_effects(baseline, patched, resampled_counts(60, 4000, 0))
    wanted = stats.bootstrap(
        ((patched - baseline)[:, 0],), np.mean, n_resamples=4000, method="BCa", rng=0
    ).confidence_interval
    # Two independent sets of 4000 resamples; the ends of both vary by about 0.01, and ours are
    # those of a slightly higher level.
    assert effects.ci_lower[0] == pytest.approx(wanted.low, abs=0.03)
    assert effects.ci_upper[0] == pytest.approx(wanted.high, abs=0.03)


def test_intervals_cover_the_truth():
    n, sets, truth = 50, 1000, 0.3
    baseline, patched = draw(n, sets, truth)  # each metric is a data set of its own
    effects = metric_effects(baseline, patched, resampled_counts(n, 1000, 1))
    covered = (effects.ci_lower <= truth) & (truth <= effects.ci_upper)
    # 1000 data sets tell the coverage to 0.7 %.
    assert 0.93 <= covered.mean() <= 0.97


def test_nothing_comes_out_of_nothing():
    n, sets = 50, 1000
    baseline, patched = draw(n, sets, 0.0, seed=5)
    effects = metric_effects(baseline, patched, resampled_counts(n, 1000, 2))
    excludes_zero = (effects.ci_lower > 0) | (effects.ci_upper < 0)
    assert 0.03 <= excludes_zero.mean() <= 0.07
    assert abs(effects.cohen_d.mean()) < 0.02


def test_scores_that_stay_as_they_are_have_no_effect():
    baseline, _ = draw()
    effects = metric_effects(baseline, baseline.copy(), resampled_counts(40, 100, 0))
    for name in ("mean_diff", "ci_lower", "ci_upper", "cohen_d", "d_lower", "d_upper"):
        assert (getattr(effects, name) == 0).all()


def test_scores_that_all_change_alike_have_a_mean_and_no_d():
    baseline = np.zeros((10, 2))
    patched = np.tile([0.5, -0.25], (10, 1))
    effects = metric_effects(baseline, patched, resampled_counts(10, 100, 0))
    assert np.isnan(effects.cohen_d).all()
    assert np.isnan(effects.d_lower).all()
    assert effects.ci_lower.tolist() == effects.mean_diff.tolist() == [0.5, -0.25]


def test_one_prompt_has_no_spread():
    effects = metric_effects(np.zeros((1, 1)), np.ones((1, 1)), resampled_counts(1, 10, 0))
    assert effects.mean_diff[0] == 1
    assert np.isnan(effects.cohen_d[0])


def test_the_order_of_prompts_changes_no_estimate():
    baseline, patched = draw(shift=0.2)
    order = np.random.default_rng(1).permutation(40)
    counts = resampled_counts(40, 2000, 0)
    first = metric_effects(baseline, patched, counts)
    second = metric_effects(baseline[order], patched[order], counts)
    np.testing.assert_allclose(first.cohen_d, second.cohen_d)
    # Resamples draw other prompts then; the ends agree as far as 2000 of them go.
    np.testing.assert_allclose(first.ci_lower, second.ci_lower, atol=0.05)
