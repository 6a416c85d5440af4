"""Intervals against scipy, and over clusters and random sets against loops; their coverage."""

import numpy as np
import pytest
from scipy import stats

from emotion_circuits.statistics.ratios import mean_interval, ratio_interval


def test_intervals_agree_with_scipys_bca():
    rng = np.random.default_rng(0)
    whole = rng.exponential(1, 25) + 1
    part = 0.5 * whole + rng.exponential(1, 25)
    # The level at which the ends of a mean are those of t with 24 degrees of freedom.
    level = 1 - 2 * stats.norm.sf(stats.t.ppf(0.975, 24) * np.sqrt(25 / 24))
    options = {"method": "BCa", "n_resamples": 10_000, "confidence_level": level}
    seen = ratio_interval(part, whole, n_bootstrap=10_000, seed=1)
    wanted = stats.bootstrap(
        (part, whole),
        lambda a, b, axis: a.mean(axis) / b.mean(axis),
        paired=True,
        rng=np.random.default_rng(2),
        **options,
    ).confidence_interval
    assert seen.value == pytest.approx(part.mean() / whole.mean())
    # Two sets of 10,000 resamples: their quantiles differ by a few percent of the width.
    width = wanted.high - wanted.low
    assert abs(seen.lower - wanted.low) < 0.05 * width
    assert abs(seen.upper - wanted.high) < 0.05 * width
    mean, lower, upper = mean_interval(part[None], n_bootstrap=10_000, seed=1)
    reference = stats.bootstrap((part,), np.mean, rng=np.random.default_rng(2), **options)
    low, high = reference.confidence_interval
    assert mean[0] == pytest.approx(part.mean())
    assert abs(lower[0] - low) < 0.05 * (high - low)
    assert abs(upper[0] - high) < 0.05 * (high - low)


@pytest.mark.parametrize(("skewed", "n_clusters"), [(False, 6), (True, 12)])
def test_intervals_over_few_or_skewed_clusters_cover(skewed, n_clusters):
    """Percentiles at the plain level cover 85 % and 88 % here."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(n_clusters), 4).tolist()
    means = shares = 0
    for trial in range(500):
        shared = rng.exponential(1, n_clusters) - 1 if skewed else rng.normal(0, 1, n_clusters)
        part = shared[clusters] + rng.normal(0, 0.3, len(clusters))
        _, lower, upper = mean_interval(part, n_bootstrap=500, seed=trial, clusters=clusters)
        means += lower <= 0 <= upper
        whole = rng.normal(2, 0.5, len(clusters)) + rng.normal(0, 0.5, n_clusters)[clusters]
        options = {"n_bootstrap": 500, "seed": trial, "clusters": clusters}
        seen = ratio_interval(0.3 * whole + 0.3 * part, whole, **options)
        shares += seen.lower <= 0.3 <= seen.upper
    # 500 trials have a standard error of 0.011.
    assert means / 500 > 0.90
    assert shares / 500 > 0.90


@pytest.mark.slow
def test_intervals_of_a_share_cover_it():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(500):
        whole = rng.normal(2, 1, 60)
        part = 0.3 * whole + rng.normal(0, 0.5, 60)
        seen = ratio_interval(part, whole, n_bootstrap=1000, seed=trial)
        inside += seen.lower <= 0.3 <= seen.upper
    # 95 % ± three standard errors of 500 trials.
    assert 0.92 <= inside / 500 <= 0.98


def test_a_share_of_nothing_has_no_interval():
    zeros = np.zeros(5)
    assert np.isnan(ratio_interval(np.ones(5), zeros, n_bootstrap=10, seed=0).value)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 30)
    seen = ratio_interval(
        rng.normal(0, 1, 30), noise - noise.mean() + 1e-3, n_bootstrap=200, seed=0
    )
    assert np.isnan(seen.lower)
    one = ratio_interval(np.ones(1), np.ones(1), n_bootstrap=10, seed=0)
    assert one.value == 1
    assert np.isnan(one.lower)


def clustered(rng, n_clusters=20, size=3, mean=0.0):
    """Samples that share most of what they vary by with those of their cluster."""
    shared = rng.normal(mean, 1, n_clusters)
    samples = np.repeat(shared, size) + rng.normal(0, 0.3, n_clusters * size)
    return samples, [f"pair {name}" for name in np.repeat(np.arange(n_clusters), size)]


def test_intervals_over_clusters_are_those_of_a_loop_over_clusters():
    rng = np.random.default_rng(0)
    part, names = clustered(rng)
    # Clusters of different sizes.
    part, names = part[:-2], names[:-2]
    whole = part + rng.normal(3, 0.1, len(part))
    distinct = sorted(set(names))
    ratios, means = [], []
    for _ in range(4000):
        drawn = rng.choice(distinct, len(distinct))
        rows = np.concatenate([np.flatnonzero(np.array(names) == name) for name in drawn])
        ratios.append(part[rows].mean() / whole[rows].mean())
        means.append(part[rows].mean())
    seen = ratio_interval(part, whole, n_bootstrap=4000, seed=1, clusters=names)
    lower, upper = np.quantile(ratios, [0.025, 0.975])
    # Two sets of 4,000 resamples: their quantiles differ by a few percent of the width.
    assert seen.lower == pytest.approx(lower, abs=0.08 * (upper - lower))
    assert seen.upper == pytest.approx(upper, abs=0.08 * (upper - lower))
    _, low, high = mean_interval(part[None], n_bootstrap=4000, seed=1, clusters=names)
    lower, upper = np.quantile(means, [0.025, 0.975])
    assert low[0] == pytest.approx(lower, abs=0.08 * (upper - lower))
    assert high[0] == pytest.approx(upper, abs=0.08 * (upper - lower))


@pytest.mark.parametrize(("named", "wanted"), [(True, (0.90, 0.97)), (False, (0.0, 0.8))])
def test_only_intervals_over_clusters_cover_where_samples_come_in_clusters(named, wanted):
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(400):
        samples, names = clustered(rng, n_clusters=40)
        clusters = names if named else None
        _, lower, upper = mean_interval(samples, n_bootstrap=400, seed=trial, clusters=clusters)
        inside += lower <= 0 <= upper
    # 400 trials have a standard error of 0.011; percentile intervals of 40 clusters are a little
    # narrow.
    assert wanted[0] <= inside / 400 <= wanted[1]


def test_the_order_of_samples_and_the_names_of_clusters_do_not_matter():
    samples, names = clustered(np.random.default_rng(0))
    _, lower, upper = mean_interval(samples, n_bootstrap=200, seed=0, clusters=names)
    turned = mean_interval(samples[::-1], n_bootstrap=200, seed=0, clusters=names[::-1])
    assert (lower, upper) == (pytest.approx(turned[1]), pytest.approx(turned[2]))


def test_two_clusters_have_no_interval():
    names = ["a", "a", "b", "b"]
    rng = np.random.default_rng(0)
    _, lower, _ = mean_interval(rng.normal(size=4), n_bootstrap=99, seed=0, clusters=names)
    assert np.isnan(lower)
    _, lower, upper = mean_interval(
        np.zeros(6), n_bootstrap=99, seed=0, clusters=[*names, "c", "c"]
    )
    assert (lower, upper) == (0, 0)


def test_one_cluster_has_no_interval():
    value = ratio_interval(np.ones(3), np.ones(3), n_bootstrap=9, seed=0, clusters=["a"] * 3)
    assert value.value == 1
    assert np.isnan(value.lower)
    _, lower, _ = mean_interval(np.ones(3), n_bootstrap=9, seed=0, clusters=["a"] * 3)
    assert np.isnan(lower)


def with_random_sets(rng, n_sets, n_pairs=60, spread=0.3, gain=0.0):
    """What a chosen set recovers and what random ones do, that differ from one another."""
    whole = rng.normal(1, 0.2, n_pairs)
    shares = rng.normal(0.2, spread, n_sets)
    random = shares[:, None] * whole + rng.normal(0, 0.1, (n_sets, n_pairs))
    return (0.2 + gain) * whole + rng.normal(0, 0.1, n_pairs), random, whole


def test_a_control_of_random_sets_is_resampled_as_well_as_pairs():
    rng = np.random.default_rng(3)
    chosen, random, whole = with_random_sets(rng, n_sets=20)
    differences = []
    for _ in range(4000):
        rows = rng.integers(0, len(whole), len(whole))
        sets = rng.integers(0, len(random), len(random))
        recovered = chosen[rows].mean() - np.mean([random[one][rows].mean() for one in sets])
        differences.append(recovered / whole[rows].mean())
    seen = ratio_interval(random, whole, n_bootstrap=4000, seed=1, less=chosen)
    lower, upper = np.quantile(differences, [0.025, 0.975])
    assert seen.lower == pytest.approx(lower, abs=0.08 * (upper - lower))
    assert seen.upper == pytest.approx(upper, abs=0.08 * (upper - lower))
    assert seen.value == pytest.approx((chosen.mean() - random.mean()) / whole.mean())
    # Averaging the sets first hides how much sets differ.
    averaged = ratio_interval(chosen - random.mean(0), whole, n_bootstrap=4000, seed=1)
    assert averaged.upper - averaged.lower < (seen.upper - seen.lower) / 2


@pytest.mark.slow
def test_the_interval_of_an_excess_covers_it_whatever_sets_are_drawn():
    """The mean over all random sets is 0.2, and the chosen set recovers 0.2: no excess."""
    rng = np.random.default_rng(0)
    inside = {"two stages": 0, "pairs alone": 0}
    for trial in range(300):
        chosen, random, whole = with_random_sets(rng, n_sets=20)
        options = {"n_bootstrap": 400, "seed": trial}
        both = ratio_interval(random, whole, less=chosen, **options)
        alone = ratio_interval(chosen - random.mean(0), whole, **options)
        inside["two stages"] += both.lower <= 0 <= both.upper
        inside["pairs alone"] += alone.lower <= 0 <= alone.upper
    # Percentile intervals of 20 draws are a little narrow: (19/20)^½ of the width.
    assert 0.89 <= inside["two stages"] / 300 <= 0.98
    assert inside["pairs alone"] / 300 < 0.6


def test_a_single_random_set_gives_no_interval():
    chosen, random, whole = with_random_sets(np.random.default_rng(0), n_sets=1)
    seen = ratio_interval(random, whole, n_bootstrap=100, seed=0, less=chosen)
    assert np.isfinite(seen.value)
    assert np.isnan(seen.lower)
