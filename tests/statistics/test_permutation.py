"""Sign-flip tests agree with all patterns written out, and with scipy."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from emotion_circuits.statistics.permutation import SignFlips, sign_flip_test, sign_flips


def rows_of(n=8, rows=4, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=n)
    return 0.6 * shared + rng.normal([[0.0], [0.3], [0.8], [1.2]][:rows], 0.5, (rows, n))


def t_of(values):
    return abs(values.mean()) / (values.std(ddof=1) / np.sqrt(len(values)))


def test_all_patterns_written_out_give_the_same():
    values = rows_of()
    patterns = [np.array(signs) for signs in product((1, -1), repeat=8)]
    table = np.array([[t_of(signs * row) for row in values] for signs in patterns])
    observed = np.array([t_of(row) for row in values])
    flips = sign_flips(8, n_permutations=256, rng=np.random.default_rng(0))
    assert flips.complete
    seen = sign_flip_test(values, flips)
    least = observed * (1 - 1e-9)
    np.testing.assert_allclose(seen.p_value, (table >= least).mean(axis=0), atol=1e-12)
    largest = table.max(axis=1)[:, None]
    np.testing.assert_allclose(seen.p_value_max_t, (largest >= least).mean(axis=0), atol=1e-12)


def test_all_patterns_give_scipys_exact_test():
    values = rows_of()
    flips = sign_flips(8, n_permutations=256, rng=np.random.default_rng(0))
    seen = sign_flip_test(values, flips)
    for row, sample in enumerate(values):
        wanted = stats.permutation_test(
            (sample,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert seen.p_value[row] == pytest.approx(wanted.pvalue, abs=1e-12)


def test_random_patterns_come_near_the_exact_test_and_never_give_zero():
    values = rows_of(14)
    rng = np.random.default_rng(0)
    exact = sign_flip_test(values, sign_flips(14, n_permutations=2**14, rng=rng))
    flips = sign_flips(14, n_permutations=4000, rng=rng)
    assert not flips.complete
    seen = sign_flip_test(values, flips)
    np.testing.assert_allclose(seen.p_value, exact.p_value, atol=0.02)
    np.testing.assert_allclose(seen.p_value_max_t, exact.p_value_max_t, atol=0.02)
    strong = sign_flip_test(np.abs(values) + 5, flips)
    assert (strong.p_value >= 1 / 4001).all()


def test_the_family_never_makes_a_comparison_look_better():
    seen = sign_flip_test(
        rows_of(), sign_flips(8, n_permutations=256, rng=np.random.default_rng(0))
    )
    assert (seen.p_value_max_t >= seen.p_value).all()


def test_copies_of_a_comparison_cost_nothing():
    """Bonferroni would ask for three times the evidence."""
    values = rows_of(10, 1)
    flips = sign_flips(10, n_permutations=1024, rng=np.random.default_rng(0))
    alone, thrice = sign_flip_test(values, flips), sign_flip_test(np.repeat(values, 3, 0), flips)
    np.testing.assert_array_equal(thrice.p_value_max_t, np.repeat(alone.p_value, 3))


def test_a_missing_text_is_left_out_of_its_comparison_only():
    values = rows_of(9)
    values[1, 4] = np.nan
    flips = sign_flips(9, n_permutations=512, rng=np.random.default_rng(0))
    seen = sign_flip_test(values, flips)
    left = np.delete(values[1], 4)
    patterns = [np.array(signs) for signs in product((1, -1), repeat=8)]
    table = np.array([t_of(signs * left) for signs in patterns])
    wanted = (table >= t_of(left) * (1 - 1e-9)).mean()
    assert seen.p_value[1] == pytest.approx(wanted, abs=1e-12)


def test_texts_of_a_cluster_turn_together():
    clusters = np.array([0, 0, 1, 2, 2, 2])
    flips = sign_flips(6, n_permutations=500, rng=np.random.default_rng(0), clusters=clusters)
    assert flips.complete
    assert len(flips.signs) == 8
    assert (flips.signs[:, 0] == flips.signs[:, 1]).all()
    assert (flips.signs[:, 3:] == flips.signs[:, 3:4]).all()


def test_the_number_of_threads_changes_nothing():
    values = np.random.default_rng(0).normal(size=(200, 20))
    flips = SignFlips(np.random.default_rng(1).choice([-1.0, 1.0], (300, 20)), False)
    one, three = (sign_flip_test(values, flips, n_jobs=n) for n in (1, 3))
    np.testing.assert_array_equal(one.p_value_max_t, three.p_value_max_t)
