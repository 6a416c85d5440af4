"""One direction against random ones: found at the rate of alpha, unless it does more."""

import numpy as np
import pytest
from scipy import stats

from effect_studies import key, options, random_study, texts
from emotion_circuits.statistics import (
    Comparison,
    average_repeats,
    effect_table,
    power_table,
)
from emotion_circuits.statistics.directions import FLAT_DIRECTIONS, TOO_FEW_DIRECTIONS
from emotion_circuits.statistics.effect_sizes import ALL_ZERO
from emotion_circuits.statistics.power import detectable_shift, t_power


def rank_p_value(own, means):
    """Count, over all orders, how often the one in front would be as far out: a loop."""
    everyone = [own, *means]
    centre = sum(everyone) / len(everyone)
    further = [value for value in everyone if abs(value - centre) >= abs(own - centre)]
    return len(further) / len(everyone)


def test_random_draws_are_averaged_and_directions_are_samples_too():
    item = random_study(0, spread=0.3, effect=2.0)
    row = effect_table([item], options()).loc[0]
    drawn = np.array([list(draw.values.values()) for draw in item.draws])
    patched = np.array(list(item.patched.values.values()))
    assert row["n_random"] == 8
    assert row["n_effective"] == 30
    over_texts = stats.ttest_rel(patched, drawn.mean(axis=0))
    assert row["p_value_prompts"] == pytest.approx(over_texts.pvalue, rel=1e-10)
    assert row["t_statistic_prompts"] == pytest.approx(over_texts.statistic, rel=1e-10)
    # One new value against a sample of eight is a two-sample t-test with groups of 1 and 8.
    wanted = stats.ttest_ind([patched.mean()], drawn.mean(axis=1))
    assert row["p_value"] == pytest.approx(wanted.pvalue, rel=1e-10)
    assert row["t_statistic"] == pytest.approx(wanted.statistic, rel=1e-10)
    assert row["p_value_rank"] == 1 / 9
    assert row["reason"] == ""


@pytest.mark.parametrize("seed", range(8))
def test_ranks_are_counted_from_the_middle_of_all(seed):
    item = random_study(seed, spread=0.3)
    means = [np.mean(list(draw.values.values())) for draw in item.draws]
    own = np.mean(list(item.patched.values.values()))
    row = effect_table([item], options()).loc[0]
    assert row["p_value_rank"] == pytest.approx(rank_p_value(own, means), rel=1e-12)


def test_corrections_and_flags_are_of_the_directions():
    items = [random_study(seed, spread=0.3, effect=3.0 * (seed < 2)) for seed in range(6)]
    table = effect_table(items, options(alpha=0.05))
    wanted = np.minimum(1, table["p_value"] * 6)
    np.testing.assert_allclose(table["p_value_bonferroni"], wanted, rtol=1e-12)
    np.testing.assert_allclose(
        table["p_value_fdr"], stats.false_discovery_control(table["p_value"]), rtol=1e-12
    )
    assert table["significant_bonferroni"].tolist() == [True, True] + [False] * 4
    # Over texts some of the others would have been found.
    assert (table["p_value_prompts"].iloc[2:] * 6 <= 0.05).any()


@pytest.mark.parametrize("n_random", [1, 2])
def test_fewer_than_three_random_directions_have_no_scatter(n_random):
    row = effect_table([random_study(0, n_random=n_random, effect=2.0)], options()).loc[0]
    assert row["n_random"] == n_random
    assert row[["t_statistic", "p_value", "p_value_rank", "p_value_bonferroni"]].isna().all()
    assert row["reason"] == TOO_FEW_DIRECTIONS
    assert not row["significant_fdr"]
    assert row["p_value_prompts"] < 0.05


def test_random_directions_that_do_the_same_have_ranks_only():
    still = average_repeats(texts(9), np.linspace(0, 1, 9))
    moved = average_repeats(texts(9), np.linspace(0, 1.5, 9))
    identity = key(phase="random", comparison="emotion_vs_random")
    items = [
        Comparison(identity._replace(layer=place), still, patched, draws=(still,) * 19)
        for place, patched in enumerate((still, moved))
    ]
    table = effect_table(items, options())
    assert table["p_value"].isna().all()
    assert table["p_value_rank"].tolist() == [1, 1 / 20]
    assert table["reason"].tolist() == [f"{ALL_ZERO}; {FLAT_DIRECTIONS}", FLAT_DIRECTIONS]


def test_directions_are_samples_where_texts_are_not_matched_too():
    item = random_study(0, spread=0.3)
    paired, groups = (effect_table([item], options(paired=given)).loc[0] for given in (True, False))
    assert groups["p_value"] == paired["p_value"]
    assert groups["p_value_prompts"] > paired["p_value_prompts"]


def rejections(n_studies, **changes):
    studies = [random_study(seed, **changes) for seed in range(n_studies)]
    return effect_table(studies, options(n_bootstrap=100, n_permutations=100))


@pytest.mark.slow
def test_a_random_direction_is_found_among_random_ones_at_the_rate_of_alpha():
    """A test over texts takes every direction for special as soon as directions differ at all."""
    same = rejections(600)
    assert 0.03 <= (same["p_value_prompts"] <= 0.05).mean() <= 0.07
    assert 0.03 <= (same["p_value"] <= 0.05).mean() <= 0.07
    differing = rejections(600, spread=0.3)
    assert (differing["p_value_prompts"] <= 0.05).mean() > 0.4
    assert 0.03 <= (differing["p_value"] <= 0.05).mean() <= 0.07
    assert differing["significant_bonferroni"].sum() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("n_random", [3, 19])
def test_random_directions_are_found_at_the_rate_of_alpha_whatever_they_scatter(n_random, spread):
    table = rejections(3000, spread=spread, n_random=n_random)
    assert 0.03 <= (table["p_value"] <= 0.05).mean() <= 0.07
    least = 1 / (1 + n_random)
    assert (table["p_value_rank"] <= least + 1e-9).mean() == pytest.approx(least, abs=0.02)


@pytest.mark.parametrize(("effect", "low", "high"), [(0.0, 0.03, 0.07), (1.5, 0.95, 1.0)])
def test_an_effect_beyond_the_scatter_is_found(effect, low, high):
    """1.5 is 4.6 deviations of a direction's mean, √(0.3² + 0.5² / 30)."""
    table = rejections(400, spread=0.3, n_random=20, effect=effect)
    assert low <= (table["p_value"] <= 0.05).mean() <= high
    assert low - 0.005 <= (table["p_value_rank"] <= 0.05).mean() <= high


def test_power_of_a_direction_is_how_often_it_is_found():
    """Where power is near a half: 0.8 is 2.5 deviations; df is 7."""
    items = [random_study(seed, spread=0.3, effect=0.8) for seed in range(600)]
    table = effect_table(items, options(n_bootstrap=100, n_permutations=100))
    power = power_table(table, alpha=0.05, power_target=0.8)
    shift = 0.8 / np.sqrt((0.3**2 + 0.5**2 / 30) * (1 + 1 / 8))
    wanted = t_power(np.array([shift]), np.array([7.0]), alpha=0.05)[0]
    assert (table["p_value"] <= 0.05).mean() == pytest.approx(wanted, abs=0.06)
    seen = t_power(table["t_statistic"].to_numpy(), np.full(600, 7.0), alpha=0.05)
    np.testing.assert_allclose(power["power"], seen, rtol=1e-10)
    least = detectable_shift(7, alpha=0.05, power=0.8)
    unit = (table["cohen_d"] / table["t_statistic"]).abs()
    np.testing.assert_allclose(power["minimal_detectable_effect"], least * unit, rtol=1e-10)
