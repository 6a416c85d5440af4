"""Effect sizes and t-tests agree with scipy, statsmodels and 50 digits of mpmath."""

import json
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from emotion_circuits.statistics.effect_sizes import (
    ALL_ZERO,
    NO_VARIANCE,
    TOO_FEW,
    hedges_correction,
    paired_effects,
    summary_effects,
    unpaired_effects,
)
from emotion_circuits.statistics.multiplicity import correct_family

REFERENCE = json.loads((Path(__file__).parent / "reference" / "reference.json").read_text())
NAMES = list(REFERENCE["patched"])
BASELINE = np.array([REFERENCE["baseline"]] * len(NAMES), dtype=np.float64)
PATCHED = np.array([REFERENCE["patched"][name] for name in NAMES], dtype=np.float64)


def random_rows(n=17, rows=8, seed=0):
    rng = np.random.default_rng(seed)
    before = rng.random((rows, n))
    return before, before + rng.normal(0.1, 0.3, (rows, n))


def agree_with_reference(effects, kind):
    for row, name in enumerate(NAMES):
        for field, wanted in REFERENCE[kind][name].items():
            assert getattr(effects, field)[row] == pytest.approx(wanted, abs=1e-10, rel=1e-10)


def test_paired_effects_are_those_of_the_reference():
    agree_with_reference(paired_effects(BASELINE, PATCHED), "paired")


def test_clustered_tests_are_those_of_the_reference():
    clusters = np.array(REFERENCE["clusters"])
    effects = paired_effects(BASELINE, PATCHED, clusters=clusters)
    agree_with_reference(effects, "clustered")
    np.testing.assert_array_equal(effects.cohen_d, paired_effects(BASELINE, PATCHED).cohen_d)


def test_unpaired_effects_are_those_of_the_reference():
    agree_with_reference(unpaired_effects(BASELINE[:, :7], PATCHED), "unpaired")


def test_corrections_are_those_of_the_reference():
    p_values = np.array([REFERENCE["paired"][name]["p_value"] for name in NAMES])
    corrected = correct_family(p_values, alpha=0.05)
    for row, name in enumerate(NAMES):
        wanted = REFERENCE["corrected"][name]
        assert corrected.p_value_bonferroni[row] == pytest.approx(wanted["bonferroni"], abs=1e-12)
        assert corrected.p_value_fdr[row] == pytest.approx(wanted["fdr"], abs=1e-12)


def test_paired_and_welch_tests_are_scipys():
    before, after = random_rows()
    paired = paired_effects(before, after)
    wanted = stats.ttest_rel(after, before, axis=1)
    np.testing.assert_allclose(paired.t_statistic, wanted.statistic, rtol=1e-10)
    np.testing.assert_allclose(paired.p_value, wanted.pvalue, rtol=1e-10)
    unpaired = unpaired_effects(before[:, :9], after)
    wanted = stats.ttest_ind(after, before[:, :9], axis=1, equal_var=False)
    np.testing.assert_allclose(unpaired.t_statistic, wanted.statistic, rtol=1e-10)
    np.testing.assert_allclose(unpaired.p_value, wanted.pvalue, rtol=1e-10)


def test_the_clustered_test_is_statsmodels():
    before, after = random_rows()
    clusters = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 4, 5, 5, 5, 6, 6])
    effects = paired_effects(before, after, clusters=clusters)
    for row, differences in enumerate(after - before):
        fit = sm.OLS(differences, np.ones(len(differences))).fit(
            cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
        )
        assert effects.t_statistic[row] == pytest.approx(fit.tvalues[0], rel=1e-10)
        assert effects.standard_error[row] == pytest.approx(fit.bse[0], rel=1e-10)
    equal = np.repeat(np.arange(4), 4)
    effects = paired_effects(before[:, :16], after[:, :16], clusters=equal)
    for row, differences in enumerate((after - before)[:, :16]):
        fit = sm.OLS(differences, np.ones(16)).fit(
            cov_type="cluster", cov_kwds={"groups": equal}, use_t=True
        )
        assert effects.p_value[row] == pytest.approx(fit.pvalues[0], rel=1e-10)


def test_clusters_of_one_text_are_no_clusters():
    before, after = random_rows()
    alone = paired_effects(before, after, clusters=np.arange(before.shape[1]))
    np.testing.assert_allclose(alone.t_statistic, paired_effects(before, after).t_statistic)


def test_mean_and_deviation_are_enough_for_size_and_test():
    before, after = random_rows()
    differences = after - before
    n = np.full(len(before), before.shape[1])
    seen = summary_effects(differences.mean(axis=1), differences.std(axis=1, ddof=1), n)
    wanted = paired_effects(before, after)
    for name in ("cohen_d", "hedges_g", "t_statistic", "p_value"):
        np.testing.assert_allclose(getattr(seen, name), getattr(wanted, name), rtol=1e-12)


def test_hedges_correction_takes_the_bias_away():
    """d of ten pairs overestimates by 9 %; g does not."""
    rng = np.random.default_rng(0)
    after = rng.normal(0.8, 1, (40_000, 10))
    effects = paired_effects(np.zeros_like(after), after)
    assert effects.cohen_d.mean() == pytest.approx(0.8 / 0.9139, abs=0.01)
    assert effects.hedges_g.mean() == pytest.approx(0.8, abs=0.01)
    assert np.isnan(hedges_correction(np.array([0, 1]))).all()


@pytest.mark.parametrize("function", [paired_effects, unpaired_effects])
def test_what_does_not_vary_has_no_effect_size_and_says_why(function):
    before = np.full((3, 6), 0.4)
    after = np.stack([before[0], before[0] + 0.1, np.linspace(0.3, 0.9, 6)])
    effects = function(before, after)
    assert effects.reason.tolist() == [ALL_ZERO, NO_VARIANCE, ""]
    for name in ("cohen_d", "hedges_g", "t_statistic", "p_value"):
        assert np.isnan(getattr(effects, name)[:2]).all()
        assert np.isfinite(getattr(effects, name)[2])
    assert effects.mean_diff[1] == pytest.approx(0.1)


def test_float32_rounding_is_no_effect():
    """Scores that differ in their last float32 digit by a constant plus rounding."""
    rng = np.random.default_rng(0)
    before = rng.random((200, 20)).astype(np.float32)
    after = (before + np.float32(0.1)).astype(np.float32)
    effects = paired_effects(before.astype(np.float64), after.astype(np.float64))
    assert set(effects.reason) == {NO_VARIANCE}
    assert np.isnan(effects.cohen_d).all()


@pytest.mark.parametrize("n", [0, 1])
def test_one_sample_has_no_effect_size(n):
    values = np.ones((2, n))
    for effects in (paired_effects(values, values + 1), unpaired_effects(values, values + 1)):
        assert set(effects.reason) == {TOO_FEW}
        assert np.isnan(effects.cohen_d).all()
        assert np.isnan(effects.p_value).all()
        np.testing.assert_array_equal(np.isnan(effects.mean_diff), [n == 0] * 2)
    alone = summary_effects(np.array([0.3]), np.array([0.1]), np.array([n]))
    assert alone.reason.tolist() == [TOO_FEW]
    assert np.isnan(alone.cohen_d).all()


def test_a_single_cluster_has_no_test():
    before, after = random_rows()
    effects = paired_effects(before, after, clusters=np.zeros(before.shape[1], dtype=int))
    assert np.isnan(effects.p_value).all()
    assert np.isfinite(effects.cohen_d).all()


def test_nothing_given_is_changed():
    before, after = random_rows()
    kept = before.copy(), after.copy()
    paired_effects(before, after)
    unpaired_effects(before, after)
    np.testing.assert_array_equal(before, kept[0])
    np.testing.assert_array_equal(after, kept[1])
