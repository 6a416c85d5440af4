"""p-values by draws against loops, their level where there is nothing, and what they find."""

from statistics import fmean, pstdev, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.statistics.null_tests import max_t_p, rank_p, two_sided_rank_p

# Values on a coarse grid, so that ties are frequent.
grid = st.integers(-4, 4).map(lambda step: step / 4)
family = st.integers(1, 5).flatmap(
    lambda tests: st.lists(
        st.lists(grid, min_size=tests, max_size=tests), min_size=2, max_size=12
    ).map(np.array)
)


def ranked_in_a_loop(observed, draws):
    reached = [draw for draw in draws if draw >= observed]
    return (1 + len(reached)) / (1 + len(draws))


def max_t_in_a_loop(every, deviation):
    """Single-step max-T as its definition says it; the first row is the observed one."""
    measures = []
    for values in zip(*every, strict=True):
        spread = deviation(values)
        measures.append([(value - fmean(values)) / spread if spread else 0.0 for value in values])
    largest = [max(of_draw) for of_draw in list(zip(*measures, strict=True))[1:]]
    # Ties of measures that were computed in another order.
    return [ranked_in_a_loop(of_test[0] - 1e-9, largest) for of_test in measures]


@given(family)
def test_a_rank_is_counted_as_in_a_loop_for_all_tests_at_once(every):
    found = rank_p(every[0], every[1:])
    wanted = [ranked_in_a_loop(values[0], values[1:]) for values in every.T.tolist()]
    np.testing.assert_allclose(found, wanted, rtol=1e-15)
    for place, values in enumerate(every.T):
        assert float(rank_p(float(values[0]), values[1:])) == found[place]


@given(family)
def test_a_two_sided_rank_is_counted_from_the_middle_of_all(every):
    found = two_sided_rank_p(every[0], every[1:])
    for place, values in enumerate(every.T.tolist()):
        distances = [abs(value - fmean(values)) for value in values]
        # Ties of distances on either side of the middle, which differ by rounding.
        wanted = ranked_in_a_loop(distances[0] - 1e-12, distances[1:])
        assert found[place] == pytest.approx(wanted, rel=1e-15)
    np.testing.assert_array_equal(found, two_sided_rank_p(-every[0], -every[1:]))


@pytest.mark.parametrize("deviation", [pstdev, stdev], ids=["n", "n - 1"])
@given(family)
def test_max_t_is_that_of_a_loop_with_either_denominator(deviation, every):
    found = max_t_p(every[0], every[1:])
    wanted = max_t_in_a_loop(every.tolist(), deviation)
    np.testing.assert_allclose(found, wanted, rtol=1e-15)
    assert (found >= rank_p(every[0], every[1:]) - 1e-15).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_draw_that_differs_by_rounding_alone_is_a_tie(scale):
    value = scale / 3
    draws = np.array([value * (1 - 1e-12), value * (1 - 1e-6), value])
    assert rank_p(value, draws) == 3 / 4
    assert rank_p(value, draws, slack=1e-5 * scale) == 1
    assert two_sided_rank_p(value, draws, slack=scale) == 1
    assert max_t_p(np.array([value]), draws[:, None]).tolist() == [3 / 4]


def test_without_draws_or_with_values_that_are_not_finite_there_is_no_p():
    assert np.isnan(rank_p(1.0, np.array([])))
    assert np.isnan(two_sided_rank_p(1.0, np.array([])))
    assert np.isnan(max_t_p(np.ones(2), np.ones((0, 2)))).all()
    observed, null = np.array([1.0, np.nan, 1.0, np.inf]), np.zeros((9, 4))
    null[3, 2] = np.nan
    for test in (rank_p, two_sided_rank_p, max_t_p):
        assert np.isnan(test(observed, null)).tolist() == [False, True, True, True]


def test_a_test_without_values_is_left_out_of_the_family_and_one_that_does_not_vary_is_not_found():
    rng = np.random.default_rng(0)
    observed, null = rng.normal(1, 1, 5), rng.normal(size=(99, 5))
    alone = max_t_p(observed[:3], null[:, :3])
    observed[3], observed[4], null[:, 4] = np.nan, 0.3, 0.1 + 0.2
    found = max_t_p(observed, null)
    np.testing.assert_array_equal(found[:3] <= 0.5, alone <= 0.5)
    np.testing.assert_array_equal(found[:3][alone <= 0.5], alone[alone <= 0.5])
    assert found[4] == 1


@pytest.mark.parametrize("test", [rank_p, two_sided_rank_p])
def test_one_more_draw_is_found_at_the_rate_of_alpha(test):
    rng = np.random.default_rng(0)
    every = rng.standard_t(3, size=(20, 20000))
    found = test(every[0], every[1:])
    # 20,000 trials have a standard error of 0.0015 at 0.05.
    for alpha in (0.05, 0.2, 0.5):
        assert np.mean(found <= alpha + 1e-12) == pytest.approx(alpha, abs=0.012)


def related_tests(rng, n_draws, n_tests=12, shared=0.6):
    """Draws of tests that depend on each other, with tails, units and middles of their own."""
    common = rng.normal(size=(n_draws + 1, 1))
    own = rng.normal(size=(n_draws + 1, n_tests))
    every = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    every[:, ::3] = np.exp(every[:, ::3])
    return every * np.geomspace(1e-3, 1e3, n_tests) + np.linspace(-5, 5, n_tests)


@pytest.mark.parametrize("n_draws", [19, 199])
@pytest.mark.parametrize("shared", [0.0, 0.6, 0.99])
def test_any_test_of_a_family_is_found_at_the_rate_of_alpha(n_draws, shared):
    rng = np.random.default_rng(n_draws)
    together, single, left_out = [], [], []
    for _ in range(2000):
        every = related_tests(rng, n_draws, shared=shared)
        observed, null = every[0], every[1:]
        together.append(max_t_p(observed, null).min())
        single.append(rank_p(observed, null).min())
        measures = (every - null.mean(axis=0)) / null.std(axis=0, ddof=1)
        left_out.append(ranked_in_a_loop(measures[0].max(), measures[1:].max(axis=1).tolist()))
    rates = [np.mean(np.array(found) <= 0.05 + 1e-12) for found in (together, single, left_out)]
    # 2,000 studies have a standard error of 0.005.
    assert rates[0] == pytest.approx(0.05, abs=0.015)
    assert rates[1] > 0.05 + 0.2 * (1 - shared)
    if n_draws == 19 and shared < 0.9:
        # The reason to count the observed value into its own scale.
        assert rates[2] > 0.07


def test_a_planted_effect_is_found_and_the_other_tests_are_not():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(500):
        every = related_tests(rng, 199)
        every[0, 4] += 8 * every[1:, 4].std()
        found.append(max_t_p(every[0], every[1:]) <= 0.05)
    rates = np.mean(found, axis=0)
    assert rates[4] > 0.9
    # The chance of any other finding is 0.05 at most; 500 studies have a standard error of 0.01.
    assert np.delete(np.array(found), 4, axis=1).any(axis=1).mean() < 0.08
