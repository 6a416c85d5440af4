"""Intervals agree with a loop over resamples and with scipy's bootstrap."""

import numpy as np
import pytest
from scipy import stats

from emotion_circuits.statistics.bootstrap import (
    bca_ends,
    bootstrap_paired,
    expanded_level,
    left_out_moments,
    percentile_ends,
    resample_weights,
)
from emotion_circuits.statistics.bootstrap_unpaired import (
    GroupClusters,
    bootstrap_unpaired,
    resample_groups,
)
from emotion_circuits.statistics.clusters import cluster_df
from emotion_circuits.statistics.noncentral import analytic_intervals

LEVEL = 0.9


def rows_of(n=14, rows=5, seed=0):
    return np.random.default_rng(seed).normal(0.3, 1, (rows, n)) ** 3


def effect(values):
    return values.mean() / values.std(ddof=1)


def pooled_effect(before, after):
    n_0, n_1 = len(before), len(after)
    pooled = ((n_0 - 1) * before.var(ddof=1) + (n_1 - 1) * after.var(ddof=1)) / (n_0 + n_1 - 2)
    return (after.mean() - before.mean()) / np.sqrt(pooled)


def drawn(values, weights):
    """The resamples themselves, one after the other."""
    return [np.repeat(values, counts.astype(int)) for counts in weights]


def test_percentile_ends_are_those_of_a_loop_over_resamples():
    values = rows_of()
    weights = resample_weights(14, n_bootstrap=200, rng=np.random.default_rng(1))
    seen = bootstrap_paired(values, weights, level=LEVEL, method="percentile")
    mean_level = expanded_level(LEVEL, 13)
    for row, sample in enumerate(values):
        means = [x.mean() for x in drawn(sample, weights)]
        sizes = [effect(x) for x in drawn(sample, weights)]
        tail = (1 - mean_level) / 2
        assert seen.mean_lower[row] == pytest.approx(np.quantile(means, tail), abs=1e-10)
        assert seen.mean_upper[row] == pytest.approx(np.quantile(means, 1 - tail), abs=1e-10)
        assert seen.d_lower[row] == pytest.approx(np.quantile(sizes, tail), abs=1e-10)
        assert seen.d_upper[row] == pytest.approx(np.quantile(sizes, 1 - tail), abs=1e-10)


def scipys(samples, statistic, distribution, level):
    """scipy's own BCa interval on a given distribution of resamples."""
    settings = {"vectorized": False, "confidence_level": level}
    given = stats.bootstrap(samples, statistic, n_resamples=2, method="percentile", **settings)
    given.bootstrap_distribution = np.asarray(distribution)
    return stats.bootstrap(
        samples, statistic, n_resamples=0, bootstrap_result=given, method="BCa", **settings
    ).confidence_interval


def test_bca_ends_are_scipys():
    values = rows_of()
    weights = resample_weights(14, n_bootstrap=400, rng=np.random.default_rng(1))
    seen = bootstrap_paired(values, weights, level=LEVEL, method="bca")
    for row, sample in enumerate(values):
        several = drawn(sample, weights)
        level = expanded_level(LEVEL, 13)
        wanted = scipys((sample,), effect, [effect(x) for x in several], level)
        assert (seen.d_lower[row], seen.d_upper[row]) == pytest.approx(wanted, abs=1e-10)
        wanted = scipys((sample,), np.mean, [x.mean() for x in several], level)
        assert (seen.mean_lower[row], seen.mean_upper[row]) == pytest.approx(wanted, abs=1e-10)


def test_unpaired_ends_are_scipys_and_those_of_a_loop():
    before, after = rows_of(9, 3, 1), rows_of(13, 3, 2) + 1
    rng = np.random.default_rng(1)
    weights = tuple(resample_weights(n, n_bootstrap=300, rng=rng) for n in (9, 13))
    plain = bootstrap_unpaired(before, after, weights, level=LEVEL, method="percentile")
    bca = bootstrap_unpaired(before, after, weights, level=LEVEL, method="bca")
    level = expanded_level(LEVEL, 20)
    for row in range(3):
        pairs = list(
            zip(drawn(before[row], weights[0]), drawn(after[row], weights[1]), strict=True)
        )
        sizes = [pooled_effect(a, b) for a, b in pairs]
        shifts = [b.mean() - a.mean() for a, b in pairs]
        tail = (1 - level) / 2
        assert plain.d_lower[row] == pytest.approx(np.quantile(sizes, tail), abs=1e-10)
        assert plain.mean_upper[row] == pytest.approx(np.quantile(shifts, 1 - tail), abs=1e-10)
        sample = (before[row], after[row])
        wanted = scipys(sample, pooled_effect, sizes, level)
        assert (bca.d_lower[row], bca.d_upper[row]) == pytest.approx(wanted, abs=1e-10)
        wanted = scipys(sample, lambda a, b: b.mean() - a.mean(), shifts, level)
        assert (bca.mean_lower[row], bca.mean_upper[row]) == pytest.approx(wanted, abs=1e-10)


def test_whole_clusters_are_drawn():
    clusters = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    weights = resample_weights(8, n_bootstrap=50, rng=np.random.default_rng(0), clusters=clusters)
    for numbers in (weights[:, :3], weights[:, 3:5], weights[:, 6:]):
        assert (numbers == numbers[:, :1]).all()
    assert (weights[:, [0, 3, 5, 6]].sum(axis=1) == 4).all()


def test_clustered_ends_are_those_of_a_loop_over_drawn_clusters():
    clusters = np.repeat(np.arange(5), [3, 2, 4, 1, 2])
    values = rows_of(12, 2)
    rng = np.random.default_rng(0)
    weights = resample_weights(12, n_bootstrap=200, rng=rng, clusters=clusters)
    seen = bootstrap_paired(values, weights, level=LEVEL, method="bca", clusters=clusters)
    for row, sample in enumerate(values):
        sizes = np.array([[effect(x) for x in drawn(sample, weights)]])
        knife = np.array([[effect(sample[clusters != cluster]) for cluster in range(5)]])
        level = expanded_level(LEVEL, cluster_df(clusters))
        wanted = tuple(bca_ends(sizes, np.array([effect(sample)]), [knife], level)[:, 0])
        assert (seen.d_lower[row], seen.d_upper[row]) == pytest.approx(wanted, abs=1e-10)


def test_clusters_of_alike_texts_widen_the_interval():
    """Ten texts a template with the same value are ten templates, not a hundred texts."""
    values = np.repeat(np.random.default_rng(0).normal(0.2, 1, (1, 10)), 10, axis=1)
    clusters = np.repeat(np.arange(10), 10)
    widths = []
    for given in (None, clusters):
        rng = np.random.default_rng(0)
        weights = resample_weights(100, n_bootstrap=1000, rng=rng, clusters=given)
        seen = bootstrap_paired(values, weights, level=0.95, method="percentile", clusters=given)
        widths.append(seen.mean_upper[0] - seen.mean_lower[0])
    assert widths[1] > 2.5 * widths[0]


@pytest.mark.parametrize("clusters", [None, np.array([2, 0, 0, 1, 1, 2, 3])])
def test_leaving_out_is_leaving_out(clusters):
    values = rows_of(7)
    units = np.arange(7) if clusters is None else clusters
    mean, variance = left_out_moments(values, clusters)
    for unit in range(units.max() + 1):
        rest = values[:, units != unit]
        np.testing.assert_allclose(mean[:, unit], rest.mean(axis=1), rtol=1e-10)
        np.testing.assert_allclose(variance[:, unit], rest.var(axis=1, ddof=1), rtol=1e-10)


# The first and second cluster are of one condition each, the others of both.
GROUPS = GroupClusters(
    np.array([0, 0, 1, 1, 2, 2, 2, 3, 4]), np.array([5, 5, 6, 6, 2, 2, 3, 3, 3, 4, 4, 7])
)


def test_every_resample_of_groups_has_whole_clusters_of_each_kind():
    rng = np.random.default_rng(0)
    control, treated = resample_groups(GROUPS, n_bootstrap=100, rng=rng)
    assert (control.sum(axis=1) > 0).all()
    np.testing.assert_array_equal(control[:, 0], control[:, 1])
    for cluster in (2, 3, 4):
        first = control[:, np.flatnonzero(GROUPS.control == cluster)[0]]
        second = treated[:, np.flatnonzero(GROUPS.treated == cluster)[0]]
        np.testing.assert_array_equal(first, second)
    assert (control[:, [0, 2]].sum(axis=1) == 2).all()
    assert (treated[:, [0, 2, 11]].sum(axis=1) == 3).all()
    assert (control[:, [4, 7, 8]].sum(axis=1) == 3).all()


def test_clustered_ends_of_groups_are_those_of_a_loop_over_drawn_clusters():
    before, after = rows_of(9, 2, 1), rows_of(12, 2, 2) + 1
    weights = resample_groups(GROUPS, n_bootstrap=200, rng=np.random.default_rng(0))
    seen = bootstrap_unpaired(before, after, weights, level=LEVEL, method="bca", clusters=GROUPS)
    level = expanded_level(LEVEL, GROUPS.df)
    for row in range(2):
        several = zip(drawn(before[row], weights[0]), drawn(after[row], weights[1]), strict=True)
        sizes = np.array([[pooled_effect(a, b) for a, b in several]])
        knives = []
        for stratum in ((0, 1), (5, 6, 7), (2, 3, 4)):
            left = [
                pooled_effect(
                    before[row][GROUPS.control != unit], after[row][GROUPS.treated != unit]
                )
                for unit in stratum
            ]
            knives.append(np.array([left]))
        estimate = np.array([pooled_effect(before[row], after[row])])
        wanted = tuple(bca_ends(sizes, estimate, knives, level)[:, 0])
        assert (seen.d_lower[row], seen.d_upper[row]) == pytest.approx(wanted, abs=1e-10)


def test_texts_of_one_cluster_have_no_interval():
    one = np.zeros(6, dtype=int)
    weights = resample_weights(6, n_bootstrap=50, rng=np.random.default_rng(0), clusters=one)
    seen = bootstrap_paired(rows_of(6), weights, level=LEVEL, method="bca", clusters=one)
    assert np.isnan(np.stack(seen)).all()


def test_an_end_at_infinity_is_blank_and_never_a_number():
    """Of three values, every ninth resample holds one value only: d is infinite there."""
    values = np.array([[1.0, 1.1, 1.2]])
    weights = resample_weights(3, n_bootstrap=2000, rng=np.random.default_rng(0))
    seen = bootstrap_paired(values, weights, level=0.95, method="percentile")
    assert np.isnan(seen.d_upper[0])
    assert np.isfinite(seen.d_lower[0])
    assert np.isfinite([seen.mean_lower[0], seen.mean_upper[0]]).all()


def test_resamples_without_any_difference_have_no_effect():
    """Two texts of ten moved; a tenth of the resamples has neither, and d is 0 there."""
    values = np.zeros((1, 10))
    values[0, :2] = 0.5, 0.7
    weights = resample_weights(10, n_bootstrap=2000, rng=np.random.default_rng(0))
    assert (weights[:, :2].sum(axis=1) == 0).mean() > 0.08
    seen = bootstrap_paired(values, weights, level=0.95, method="percentile")
    assert seen.d_lower[0] == pytest.approx(0, abs=1e-12)
    assert seen.d_upper[0] > 0.5


def test_the_number_of_threads_changes_no_bit():
    values = rows_of(11, 301)
    weights = resample_weights(11, n_bootstrap=100, rng=np.random.default_rng(0))
    for method in ("percentile", "bca"):
        one, three = (
            bootstrap_paired(values, weights, level=0.95, method=method, n_jobs=n) for n in (1, 3)
        )
        for first, second in zip(one, three, strict=True):
            np.testing.assert_array_equal(first, second)


def test_scale_and_offset_move_the_ends_along():
    values = rows_of()
    weights = resample_weights(14, n_bootstrap=200, rng=np.random.default_rng(0))
    first = bootstrap_paired(values, weights, level=0.95, method="bca")
    second = bootstrap_paired(1e6 * values, weights, level=0.95, method="bca")
    np.testing.assert_allclose(second.mean_lower, 1e6 * first.mean_lower, rtol=1e-9)
    np.testing.assert_allclose(second.d_lower, first.d_lower, rtol=1e-9)


def test_the_mean_of_normal_resamples_has_the_t_interval():
    """What the expanded level is for: read off a normal distribution, it gives Student's ends."""
    for n in (5, 20, 100):
        scatter = np.sqrt((n - 1) / n) / np.sqrt(n)
        tail = (1 - expanded_level(0.95, n - 1)) / 2
        end = stats.norm.ppf(1 - tail) * scatter
        assert end == pytest.approx(stats.t.ppf(0.975, n - 1) / np.sqrt(n), rel=1e-9)


def test_percentile_ends_leave_out_the_same_on_both_sides():
    ends = percentile_ends(np.arange(101.0)[None], 0.9)
    np.testing.assert_allclose(ends[:, 0], [5, 95])


def test_analytic_ends_are_those_of_t_and_of_the_noncentral_t():
    mean, std, n = np.array([0.2, -1.0, 0.0]), np.array([0.5, 0.7, 1.0]), np.array([30, 8, 50])
    seen = analytic_intervals(mean, std, n, level=0.95)
    wanted = stats.t.interval(0.95, n - 1, mean, std / np.sqrt(n))
    np.testing.assert_allclose((seen.mean_lower, seen.mean_upper), wanted, rtol=1e-10)
    t = mean * np.sqrt(n) / std
    # scipy's inverse is good to four digits, which is what the ends are good for, too.
    above = stats.nct.sf(t, n - 1, seen.d_lower * np.sqrt(n))
    below = stats.nct.cdf(t, n - 1, seen.d_upper * np.sqrt(n))
    np.testing.assert_allclose(above, 0.025, atol=2e-5)
    np.testing.assert_allclose(below, 0.025, atol=2e-5)
