"""What could have been seen, and what is equivalent to nothing, against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW, ttost_paired

from effect_studies import compare, options, random_study
from emotion_circuits.statistics import effect_table


def table_of(n_studies, n, shift, *, seed=0, **changes):
    rng = np.random.default_rng(seed)
    after = rng.normal(shift, 1, (n_studies, n))
    items = [compare(np.zeros(n), row, layer=place) for place, row in enumerate(after)]
    return after, effect_table(items, options(n_bootstrap=100, n_permutations=100, **changes))


def test_the_equivalence_interval_is_that_of_two_one_sided_tests():
    after, table = table_of(5, 20, 0.1)
    for row, line in enumerate(table.to_dict("records")):
        ends = line["equivalence_ci_lower"], line["equivalence_ci_upper"]
        assert ends == pytest.approx(DescrStatsW(after[row]).tconfint_mean(alpha=0.1), rel=1e-10)
        reach = max(map(abs, ends))
        for margin, equivalent in ((1.01 * reach, True), (0.99 * reach, False)):
            p_value = ttost_paired(after[row], np.zeros(20), -margin, margin)[0]
            assert (p_value <= 0.05) == equivalent


def test_what_could_have_been_seen_is_statsmodels():
    after, table = table_of(3, 20, 0.0)
    d = TTestPower().solve_power(nobs=20, alpha=0.05, power=0.8)
    wanted = float(np.squeeze(d)) * after.std(axis=1, ddof=1)
    np.testing.assert_allclose(table["minimal_detectable_diff"], wanted, rtol=1e-6)
    more = table_of(3, 20, 0.0, power=0.9)[1]
    assert (more["minimal_detectable_diff"] > table["minimal_detectable_diff"]).all()


def test_random_directions_are_the_samples_of_both():
    item = random_study(0, spread=0.3, effect=0.2)
    line = effect_table([item], options()).loc[0]
    means = [np.mean(list(draw.values.values())) for draw in item.draws]
    own = DescrStatsW([np.mean(list(item.patched.values.values()))])
    wanted = CompareMeans(own, DescrStatsW(means)).tconfint_diff(alpha=0.1, usevar="pooled")
    seen = line["equivalence_ci_lower"], line["equivalence_ci_upper"]
    assert seen == pytest.approx(wanted, rel=1e-10)
    assert line["degrees_of_freedom"] == 7
    assert line["standard_error"] == pytest.approx(line["mean_diff"] / line["t_statistic"])


def test_lines_without_a_test_have_neither():
    table = effect_table([compare(np.zeros(5), np.zeros(5))], options())
    assert table[["minimal_detectable_diff", "equivalence_ci_lower"]].isna().all(axis=None)


def test_a_difference_at_the_margin_is_rarely_taken_for_none():
    """Two one-sided tests at the margin: at most 5 % of studies claim equivalence."""
    _, table = table_of(1500, 40, 0.5)
    inside = (table["equivalence_ci_lower"] > -0.5) & (table["equivalence_ci_upper"] < 0.5)
    assert 0.03 <= inside.mean() <= 0.07
    _, table = table_of(400, 60, 0.0, seed=1)
    inside = (table["equivalence_ci_lower"] > -0.5) & (table["equivalence_ci_upper"] < 0.5)
    assert inside.mean() > 0.95


def test_what_could_have_been_seen_is_seen_in_four_of_five_studies():
    least = float(np.squeeze(TTestPower().solve_power(nobs=40, alpha=0.05, power=0.8)))
    _, table = table_of(1500, 40, least, seed=2)
    assert (table["p_value"] <= 0.05).mean() == pytest.approx(0.8, abs=0.04)
    assert table["minimal_detectable_diff"].median() == pytest.approx(least, rel=0.03)
