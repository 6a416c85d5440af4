"""Corrections agree with scipy, and count what was tried."""

import numpy as np
from scipy import stats

from emotion_circuits.statistics.multiplicity import correct_family


def test_corrections_are_scipys():
    p_values = np.random.default_rng(0).random(40) ** 3
    corrected = correct_family(p_values, alpha=0.05)
    wanted = stats.false_discovery_control(p_values, method="bh")
    np.testing.assert_allclose(corrected.p_value_fdr, wanted, rtol=1e-12)
    np.testing.assert_allclose(corrected.p_value_bonferroni, np.minimum(1, 40 * p_values))
    np.testing.assert_array_equal(corrected.significant_fdr, wanted <= 0.05)
    np.testing.assert_array_equal(corrected.significant_bonferroni, 40 * p_values <= 0.05)
    assert corrected.significant_bonferroni.any()


def test_a_comparison_without_a_p_value_counts_and_is_never_significant():
    corrected = correct_family(np.array([0.02, np.nan, np.nan]), alpha=0.05)
    np.testing.assert_allclose(corrected.p_value_bonferroni, [0.06, np.nan, np.nan])
    np.testing.assert_allclose(corrected.p_value_fdr, [0.06, np.nan, np.nan])
    assert not corrected.significant_fdr.any()
    assert not correct_family(np.full(3, np.nan), alpha=0.05).significant_bonferroni.any()
