"""Over a thousand simulated studies: tests reject at their rate, intervals cover at theirs."""

import numpy as np
import pytest

from effect_studies import compare, options, texts
from emotion_circuits.statistics import effect_table
from emotion_circuits.statistics.bootstrap import bootstrap_paired, resample_weights
from emotion_circuits.statistics.bootstrap_unpaired import bootstrap_unpaired
from emotion_circuits.statistics.effect_sizes import paired_effects, unpaired_effects
from emotion_circuits.statistics.multiplicity import correct_family
from emotion_circuits.statistics.noncentral import analytic_intervals
from emotion_circuits.statistics.permutation import sign_flip_test, sign_flips

STUDIES = 2000


def rate(found):
    return float(np.mean(found))


def covers(lower, upper, truth):
    return rate((lower <= truth) & (truth <= upper))


@pytest.mark.parametrize("n", [5, 20, 50])
def test_tests_of_nothing_reject_at_the_rate_of_alpha(n):
    rng = np.random.default_rng(n)
    before = rng.random((STUDIES, n))
    after = before + rng.normal(0, 0.3, (STUDIES, n))
    assert 0.03 <= rate(paired_effects(before, after).p_value <= 0.05) <= 0.07
    other = rng.normal(0, 3, (STUDIES, n + 5))
    assert 0.03 <= rate(unpaired_effects(before, other + 0.5).p_value <= 0.05) <= 0.07


@pytest.mark.slow
def test_clustered_tests_of_nothing_reject_at_the_rate_of_alpha_and_plain_ones_do_not():
    """Twenty templates of five texts; half of the variance is the template's."""
    rng, clusters = np.random.default_rng(0), np.repeat(np.arange(20), 5)
    before = np.zeros((STUDIES, 100))
    after = rng.normal(size=(STUDIES, 20))[:, clusters] + rng.normal(size=(STUDIES, 100))
    assert 0.03 <= rate(paired_effects(before, after, clusters=clusters).p_value <= 0.05) <= 0.07
    assert rate(paired_effects(before, after).p_value <= 0.05) > 0.15
    weights = resample_weights(100, n_bootstrap=1000, rng=rng, clusters=clusters)
    seen = bootstrap_paired(after, weights, level=0.95, method="bca", clusters=clusters)
    assert 0.93 <= covers(seen.mean_lower, seen.mean_upper, 0) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("n", [50, 100])
def test_intervals_cover_the_truth(n, method):
    rng = np.random.default_rng(n)
    after = rng.normal(0.5, 1, (STUDIES, n))
    weights = resample_weights(n, n_bootstrap=2000, rng=rng)
    seen = bootstrap_paired(after, weights, level=0.95, method=method)
    assert 0.93 <= covers(seen.mean_lower, seen.mean_upper, 0.5) <= 0.97
    assert 0.93 <= covers(seen.d_lower, seen.d_upper, 0.5) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50])
def test_intervals_cover_where_most_texts_do_not_move(n):
    """As with metrics near 0 or 1: 70 % of the differences are exactly zero."""
    rng = np.random.default_rng(n)
    moved = rng.random((STUDIES, n)) < 0.3
    after = moved * rng.normal(0.5, 0.3, (STUDIES, n))
    after = after[after.std(axis=1) > 0]
    mean, std = 0.15, np.sqrt(0.3 * (0.25 + 0.09) - 0.15**2)
    weights = resample_weights(n, n_bootstrap=2000, rng=rng)
    seen = bootstrap_paired(after, weights, level=0.95, method="bca")
    assert 0.93 <= covers(seen.mean_lower, seen.mean_upper, mean) <= 0.97
    # With few texts the intervals of d are somewhat too long here.
    assert 0.93 <= covers(seen.d_lower, seen.d_upper, mean / std) <= 0.98


@pytest.mark.slow
def test_unpaired_intervals_cover_the_truth():
    rng = np.random.default_rng(0)
    before, after = rng.normal(0, 1, (STUDIES, 40)), rng.normal(0.5, 1, (STUDIES, 60))
    weights = tuple(resample_weights(n, n_bootstrap=2000, rng=rng) for n in (40, 60))
    seen = bootstrap_unpaired(before, after, weights, level=0.95, method="bca")
    assert 0.93 <= covers(seen.mean_lower, seen.mean_upper, 0.5) <= 0.97
    assert 0.93 <= covers(seen.d_lower, seen.d_upper, 0.5) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 50])
def test_analytic_intervals_cover_the_truth(n):
    after = np.random.default_rng(n).normal(0.5, 1, (STUDIES, n))
    number = np.full(STUDIES, n)
    seen = analytic_intervals(after.mean(axis=1), after.std(axis=1, ddof=1), number, level=0.95)
    assert 0.93 <= covers(seen.mean_lower, seen.mean_upper, 0.5) <= 0.97
    assert 0.93 <= covers(seen.d_lower, seen.d_upper, 0.5) <= 0.97


@pytest.mark.slow
def test_false_findings_are_as_few_as_promised():
    """Each study: 40 comparisons of 30 texts that share their texts' whims; 10 are real."""
    rng = np.random.default_rng(0)
    real = np.arange(40) < 10
    shares, any_false, any_false_max_t = [], [], []
    for _ in range(1000):
        shared = rng.normal(size=30)
        after = 0.7 * shared + rng.normal(size=(40, 30)) + 0.9 * real[:, None]
        effects = paired_effects(np.zeros_like(after), after)
        corrected = correct_family(effects.p_value, alpha=0.05)
        found = corrected.significant_fdr
        shares.append((found & ~real).sum() / max(1, found.sum()))
        any_false.append((corrected.significant_bonferroni & ~real).any())
        flips = sign_flips(30, n_permutations=300, rng=rng)
        any_false_max_t.append((sign_flip_test(after, flips).p_value_max_t[~real] <= 0.05).any())
    assert np.mean(shares) <= 0.06
    assert np.mean(any_false) <= 0.06
    assert np.mean(any_false_max_t) <= 0.06
    # Were nothing ever found, the shares would be small, too.
    assert np.mean(shares) > 0.005


@pytest.mark.slow
def test_the_best_of_a_family_of_nothing_is_found_at_the_rate_of_alpha():
    """Alike comparisons: max-T keeps its level, where Bonferroni falls far below it."""
    rng = np.random.default_rng(0)
    max_t, bonferroni = [], []
    for _ in range(1500):
        after = rng.normal(size=20) + 0.3 * rng.normal(size=(25, 20))
        flips = sign_flips(20, n_permutations=400, rng=rng)
        max_t.append(sign_flip_test(after, flips).p_value_max_t.min() <= 0.05)
        p_values = paired_effects(np.zeros_like(after), after).p_value
        bonferroni.append(correct_family(p_values, alpha=0.05).p_value_bonferroni.min() <= 0.05)
    assert 0.03 <= np.mean(max_t) <= 0.07
    assert np.mean(bonferroni) < 0.03


@pytest.mark.slow
def test_whole_tables_of_nothing_claim_nothing_more_often_than_they_say():
    """Repeats included: each of 15 texts is there three times, and must count once."""
    rng = np.random.default_rng(0)
    items = []
    for row in range(1500):
        before = rng.random(15)
        after = before + rng.normal(0, 0.2, 15)
        names = texts(15) * 3
        items.append(compare(np.tile(before, 3), np.tile(after, 3), names=names, layer=row))
    table = effect_table(items, options(n_bootstrap=1000))
    assert (table["n_effective"] == 15).all()
    assert 0.03 <= rate(table["p_value"] <= 0.05) <= 0.07
    assert 0.03 <= rate(table["p_value_sign_flip"] <= 0.05) <= 0.07
    assert 0.93 <= covers(table["ci_lower"], table["ci_upper"], 0) <= 0.97
    assert table["significant_bonferroni"].sum() <= 1
