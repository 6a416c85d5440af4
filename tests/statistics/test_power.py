"""Power agrees with the noncentral t and with simulation; needed samples reach their power."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from emotion_circuits.statistics.power import (
    _power_by_quadrature,
    detectable_between_groups,
    detectable_effect,
    detectable_shift,
    paired_power,
    required_groups,
    required_pairs,
    t_power,
    unpaired_power,
)


def noncentral_power(d, n, alpha):
    bound = stats.t.isf(alpha / 2, n - 1)
    return stats.nct.sf(bound, n - 1, d * np.sqrt(n)) + stats.nct.cdf(-bound, n - 1, d * np.sqrt(n))


def test_power_is_statsmodels_and_the_noncentral_ts():
    d, n = np.array([0.1, -0.3, 0.8, 0.0]), np.array([50, 20, 12, 30])
    seen = paired_power(d, n, alpha=0.05)
    np.testing.assert_allclose(seen, TTestPower().power(np.abs(d), n, 0.05), rtol=1e-10)
    np.testing.assert_allclose(seen, noncentral_power(np.abs(d), n, 0.05), rtol=1e-10)
    assert seen[3] == pytest.approx(0.05)
    groups = unpaired_power(d, n, n + 5, alpha=0.05)
    wanted = [
        TTestIndPower().power(abs(a), b, 0.05, ratio=(b + 5) / b) for a, b in zip(d, n, strict=True)
    ]
    np.testing.assert_allclose(groups, wanted, rtol=1e-10)


def test_power_is_how_often_the_test_finds_the_effect():
    rng = np.random.default_rng(0)
    studies = rng.normal(0.4, 1, (20_000, 25))
    found = (stats.ttest_1samp(studies, 0, axis=1).pvalue <= 0.05).mean()
    assert paired_power(np.array([0.4]), np.array([25]), alpha=0.05)[0] == pytest.approx(
        found, abs=0.01
    )


def test_where_the_noncentral_t_has_no_value_power_still_has_one():
    assert _power_by_quadrature(0.5 * np.sqrt(50), 49.0, 0.05) == pytest.approx(
        noncentral_power(0.5, 50, 0.05), abs=1e-4
    )
    seen = paired_power(np.array([100.0, np.nan, 0.5, np.inf]), np.array([5, 5, 1, 5]), alpha=0.05)
    assert seen[0] == pytest.approx(1, abs=1e-6)
    assert np.isnan(seen[1:]).all()
    assert np.isnan(unpaired_power(np.array([0.5]), np.array([1]), np.array([5]), alpha=0.05)).all()


@pytest.mark.parametrize(("d", "n"), [(0.2, 199), (0.3, 90), (0.5, 34)])
def test_required_pairs_are_the_least_that_reach_the_power(d, n):
    """The numbers are G*Power's for a two-sided paired t-test."""
    assert required_pairs(d, alpha=0.05, power=0.8) == n
    assert noncentral_power(d, n, 0.05) >= 0.8 > noncentral_power(d, n - 1, 0.05)


def test_required_groups_are_the_least_that_reach_the_power():
    assert required_groups(0.5, alpha=0.05, power=0.8, ratio=1.0) == (64, 64)
    control, treated = required_groups(0.5, alpha=0.05, power=0.8, ratio=2.0)
    assert TTestIndPower().power(0.5, control, 0.05, ratio=treated / control) >= 0.8


@pytest.mark.parametrize("n", [2, 3, 5, 50, 225])
def test_the_detectable_effect_is_found_with_the_power_asked_for(n):
    d = detectable_effect(n, alpha=0.05, power=0.8)
    assert paired_power(np.array([d]), np.array([n]), alpha=0.05)[0] == pytest.approx(0.8, abs=1e-6)
    assert np.isnan(detectable_effect(1, alpha=0.05, power=0.8))


def test_the_detectable_effect_between_groups_is_found_with_the_power_asked_for():
    d = detectable_between_groups(20, 40, alpha=0.05, power=0.8)
    seen = unpaired_power(np.array([d]), np.array([20]), np.array([40]), alpha=0.05)
    assert seen[0] == pytest.approx(0.8, abs=1e-6)


def test_the_power_of_any_t_test_is_that_of_the_paired_one_in_its_terms():
    d, n = np.array([0.1, -0.3, 0.8, 0.0, np.nan, 9.0]), np.array([50, 20, 12, 30, 9, 20])
    seen = t_power(d * np.sqrt(n), n - 1.0, alpha=0.05)
    np.testing.assert_allclose(seen, paired_power(d, n, alpha=0.05), rtol=1e-8)
    assert np.isnan(t_power(np.array([2.0]), np.array([0.0]), alpha=0.05)).all()
    assert np.isnan(detectable_shift(0, alpha=0.05, power=0.8))
