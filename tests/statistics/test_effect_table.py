"""The table of effects: one unit per text, one family per claim, one file per seed."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from effect_studies import compare, key, options, study, texts
from emotion_circuits.errors import InputError
from emotion_circuits.statistics import (
    Comparison,
    Sample,
    Summary,
    average_repeats,
    effect_table,
)
from emotion_circuits.statistics.effect_options import COLUMNS
from emotion_circuits.statistics.effect_rows import UNBOUNDED
from emotion_circuits.statistics.effect_sizes import ALL_ZERO, TOO_FEW

CONTRACT = (
    "profile, phase, model_name, emotion, layer, head, head_spec, alpha, comparison, metric_name, "
    "paired, n_baseline, n_patched, n_effective, mean_baseline, mean_patched, std_baseline, "
    "std_patched, mean_diff, cohen_d, ci_lower, ci_upper, effect_size_ci_lower, "
    "effect_size_ci_upper, t_statistic, p_value, p_value_bonferroni, p_value_fdr, "
    "significant_bonferroni, significant_fdr"
)


def test_the_columns_are_those_of_the_file_contract():
    table = effect_table(study(), options())
    wanted = CONTRACT.split(", ")
    assert list(COLUMNS) == list(table.columns[: len(wanted)]) == wanted
    assert list(effect_table([], options()).columns) == list(table.columns)


def test_each_row_is_what_its_values_say():
    items = study(4, 15)
    table = effect_table(items, options())
    for row, item in enumerate(items):
        before = np.array(list(item.baseline.values.values()))
        after = np.array(list(item.patched.values.values()))
        seen = table.loc[row]
        assert seen["layer"] == row
        assert (seen["n_baseline"], seen["n_patched"], seen["n_effective"]) == (15, 15, 15)
        assert seen["mean_baseline"] == pytest.approx(before.mean(), rel=1e-12)
        assert seen["std_patched"] == pytest.approx(after.std(ddof=1), rel=1e-12)
        d = (after - before).mean() / (after - before).std(ddof=1)
        assert seen["cohen_d"] == pytest.approx(d, rel=1e-10)
        assert seen["p_value"] == pytest.approx(stats.ttest_rel(after, before).pvalue, rel=1e-10)
        assert seen["ci_lower"] < seen["mean_diff"] < seen["ci_upper"]
        assert seen["effect_size_ci_lower"] < d < seen["effect_size_ci_upper"]
    fdr = stats.false_discovery_control(table["p_value"])
    np.testing.assert_allclose(table["p_value_fdr"], fdr, rtol=1e-10)


def repeat(sample, times):
    names, values = list(sample.values), list(sample.values.values())
    order = np.random.default_rng(0).permutation(len(names) * times)
    many = [(names * times)[place] for place in order], [(values * times)[place] for place in order]
    return average_repeats(*many)


def test_three_times_the_same_texts_are_no_more_evidence():
    items = study()
    thrice = [
        replace(item, baseline=repeat(item.baseline, 3), patched=repeat(item.patched, 3))
        for item in items
    ]
    once, seen = effect_table(items, options()), effect_table(thrice, options())
    assert (seen["n_repeats_averaged"] == 2 * 2 * 12).all()
    pd.testing.assert_frame_equal(
        seen.drop(columns="n_repeats_averaged"), once.drop(columns="n_repeats_averaged")
    )


def shuffled(sample):
    names = list(sample.values)
    order = np.random.default_rng(3).permutation(len(names))
    values = [sample.values[names[place]] for place in order]
    return average_repeats([names[place] for place in order], values)


def test_the_order_of_rows_and_texts_does_not_matter():
    items = study(70)
    turned = [
        Comparison(item.key, shuffled(item.baseline), shuffled(item.patched))
        for item in reversed(items)
    ]
    pd.testing.assert_frame_equal(effect_table(items, options()), effect_table(turned, options()))


def csv_hash(seed, n_jobs):
    clusters = {name: str(place // 3) for place, name in enumerate(texts(20))}
    tables = [
        effect_table(study(150, 20), options(seed=seed, n_jobs=n_jobs, clusters=given))
        for given in (None, clusters)
    ]
    return hashlib.sha256(pd.concat(tables).to_csv(index=False).encode()).hexdigest()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_same_seed_is_the_same_file_in_another_process_with_any_number_of_jobs(threads):
    here = csv_hash(7, 1)
    assert csv_hash(7, 3) == here != csv_hash(8, 1)
    script = "import test_effect_table as t; print(t.csv_hash(7, 2))"
    folder = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]),
        "PYTHONHASHSEED": "123",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
    }
    there = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert there.stdout.strip() == here, there.stderr


def test_more_rows_do_not_change_a_rows_own_numbers():
    few, many = (effect_table(study(n), options()) for n in (6, 40))
    own = ["cohen_d", "ci_lower", "effect_size_ci_upper", "p_value", "p_value_sign_flip"]
    np.testing.assert_allclose(few[own], many[own].head(6), rtol=1e-12)


def test_families_are_corrected_apart():
    items = study(4) + [
        replace(item, key=item.key._replace(model_name="other")) for item in study(2, seed=1)
    ]
    apart, together = (
        effect_table(items, options(family=family))
        for family in (("profile", "phase", "model_name", "comparison"), ())
    )
    assert apart["family_size"].tolist() == [4, 4, 4, 4, 2, 2]
    assert together["family_size"].tolist() == [6] * 6
    np.testing.assert_allclose(
        apart["p_value_bonferroni"], np.minimum(1, apart["p_value"] * [4, 4, 4, 4, 2, 2])
    )
    assert set(together["family"]) == {"all/exploratory"}


def test_what_cannot_be_computed_is_blank_and_says_why():
    n = 8
    before = np.linspace(0, 1, n)
    gaps = before + np.linspace(0, 0.3, n)
    gaps[2] = np.nan
    items = [
        compare(before, before, layer=0),
        compare(before[:1], before[:1] + 1, layer=1),
        compare(before, gaps, layer=2),
        compare(before[:3], before[:3] + np.array([0.1, 0.11, 0.12]), layer=3),
        compare(before, np.full(n, np.nan), layer=4),
    ]
    table = effect_table(items, options(ci_method="percentile"))
    assert table["reason"].tolist() == [ALL_ZERO, TOO_FEW, "", UNBOUNDED, TOO_FEW]
    assert table["n_effective"].tolist() == [8, 1, 7, 3, 0]
    assert table["n_nan_dropped"].tolist() == [0, 0, 1, 0, 8]
    numbers = table.select_dtypes("float")
    assert not np.isinf(numbers.to_numpy(dtype=np.float64)).any()
    blank = table["cohen_d"].isna()
    assert blank.tolist() == [True, True, False, False, True]
    assert (table.loc[blank, "reason"] != "").all()
    assert not table.loc[blank, "significant_fdr"].any()
    # They were tried, so they count.
    assert table["family_size"].tolist() == [5] * 5


def test_texts_that_do_not_match_are_compared_as_groups():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=10), rng.normal(0.5, 1, size=14)
    names = [f"other {place}" for place in range(14)]
    item = Comparison(key(), average_repeats(texts(10), before), average_repeats(names, after))
    row = effect_table([item], options()).loc[0]
    assert not row["paired"]
    wanted = stats.ttest_ind(after, before, equal_var=False)
    assert row["t_statistic"] == pytest.approx(wanted.statistic, rel=1e-10)
    assert row["n_effective"] == pytest.approx(140 / 24)
    assert np.isnan(row["p_value_max_t"])
    matched = effect_table(study(1), options(paired=False)).loc[0]
    assert not matched["paired"]


def test_a_summary_gives_what_the_values_give_but_for_the_bootstrap():
    item = study(1, 40)[0]
    differences = np.array(list(item.patched.values.values())) - list(item.baseline.values.values())
    summary = Summary(item.key, differences.mean(), differences.std(ddof=1), 40)
    seen, wanted = (
        effect_table([one], options(n_bootstrap=4000)).loc[0] for one in (summary, item)
    )
    for name in ("mean_diff", "cohen_d", "hedges_g", "t_statistic", "p_value", "n_effective"):
        assert seen[name] == pytest.approx(wanted[name], rel=1e-10)
    assert (seen["ci_method"], wanted["ci_method"]) == ("noncentral_t", "bca")
    for name in ("ci_lower", "ci_upper"):
        assert seen[name] == pytest.approx(wanted[name], abs=0.02)
    for name in ("effect_size_ci_lower", "effect_size_ci_upper"):
        assert seen[name] == pytest.approx(wanted[name], abs=0.12)


def test_two_results_for_one_comparison_are_refused():
    with pytest.raises(InputError, match="same comparison"):
        effect_table([*study(2), *study(2)], options())


def test_clusters_count_as_the_samples_of_the_test():
    n = 30
    names = texts(n)
    clusters = {name: str(place // 5) for place, name in enumerate(names)}
    shift = np.repeat(np.random.default_rng(0).normal(0.2, 0.3, 6), 5)
    before = np.random.default_rng(1).random(n)
    item = compare(before, before + shift + np.random.default_rng(2).normal(0, 0.02, n))
    alone, clustered = (
        effect_table([item], options(clusters=given)).loc[0] for given in (None, clusters)
    )
    assert clustered["n_clusters"] == 6
    assert clustered["cohen_d"] == alone["cohen_d"]
    assert clustered["p_value"] > 2 * alone["p_value"]
    assert clustered["p_value_sign_flip"] >= 2 / 2**6
    widths = [row["ci_upper"] - row["ci_lower"] for row in (alone, clustered)]
    assert widths[1] > 1.5 * widths[0]


def test_a_text_without_a_cluster_is_refused():
    clusters = dict.fromkeys(texts(11), "a")
    with pytest.raises(InputError, match="1 of 12 have no cluster, the first 'text 11'"):
        effect_table(study(2, 12), options(clusters=clusters))


def test_an_empty_sample_is_a_row_without_numbers():
    row = effect_table([Comparison(key(), Sample({}, 0), Sample({}, 0))], options()).loc[0]
    assert row["reason"] == TOO_FEW
    assert row["n_effective"] == 0
